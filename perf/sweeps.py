"""What a sweep costs beyond its trials, and how well trials pack onto two cores."""

import contextlib
import io
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import yaml

from cl_sparse.cli import main
from cl_sparse.results import find_results, load_result

EXPERIMENT = "quickstart_sparse"
EPOCHS = {"a tenth of a second": 3, "a second": 75, "five seconds": 375}
BY = [("local", name, 8) for name in EPOCHS] + [("ray", "a second", 24)]  # executor, a trial's length, trials
SMALLEST = {"train_subset": 100, "test_subset": 50, "num_batch": 2, "train_ep": 1, "hidden_units": 50}
THOUSAND = 1000


def run(rounds: int) -> list[dict[str, object]]:
    """Sweeps of one and of several trials, in one process beside this one and in two, in turn."""
    rows = []
    for executor, name, trials in BY:
        settings = {"train_ep": EPOCHS[name], "train_subset": 200, "num_batch": 2}
        sweep(settings, 2, 2, executor)  # starts the fork server
        sizes = ((1, 1), (trials, 1), (trials, 2))
        measured = [[sweep(settings, n, jobs, executor) for n, jobs in sizes] for _ in range(rounds)]
        alone = [several[0] - one[0] for one, several, _ in measured]  # of all but the first, and its start
        owns = [several[1] / trials for _, several, _ in measured]
        overheads = [wall / (trials - 1) - own for wall, own in zip(alone, owns, strict=True)]
        packing = [several[0] / packed[0] for _, several, packed in measured]
        rows.append(
            {
                "executor": executor,
                "a trial takes about": name,
                "measured: s": round(statistics.median(owns), 3),
                "beyond it, per trial: s": round(statistics.median(overheads), 3),
                "x of one process, in two": round(statistics.median(packing), 2),
            }
        )
    return rows


def thousand(_: int) -> list[dict[str, object]]:
    """A thousand trials of the smallest experiment in two processes, and the same command again."""
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch(Path(folder))
        first, own = sweep(SMALLEST, THOUSAND, 2, folder=Path(folder))
        seen = watch.end()
        again, _own = sweep(SMALLEST, THOUSAND, 2, folder=Path(folder))
    early, late = seen[len(seen) // 10], seen[-1]
    return [
        {
            "trials": THOUSAND,
            "all: s": round(first, 1),
            "training and testing, both processes: s": round(own, 1),
            "the same command again: s": round(again, 1),
            "memory after a tenth, this process and a worker: MB": f"{early[0]}, {early[1]}",
            "at the end": f"{late[0]}, {late[1]}",
        }
    ]


def sweep(
    settings: Mapping[str, object], n: int, jobs: int, executor: str = "local", folder: Path | None = None
) -> tuple[float, float]:
    """Run a sweep of ``n`` trials; return its seconds, and those of training and testing in all trials."""
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "sweep.yaml"
        content = {"experiments": [EXPERIMENT], "set": dict(settings), "seeds": list(range(n))}
        file.write_text(yaml.safe_dump(content))
        results = Path(temporary) / "results" if folder is None else folder
        words = ["sweep", str(file), "--executor", executor, "--quiet", "--jobs", str(jobs), "--results-dir"]
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            code = main([*words, str(results)])
        seconds = time.perf_counter() - start
        assert code == 0
        own = sum(load_result(path)[1]["seconds"]["total"] for path in find_results(results))
        if folder is None:
            shutil.rmtree(results)
    return seconds, own


class Watch:
    """Notes, as results appear, the memory of this process and of the largest of its workers, in MB."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._seen, self._ended = folder, [(0, 0)], threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def end(self) -> list[tuple[int, int]]:
        """Stop; return what was seen, in the order of time."""
        self._ended.set()
        self._thread.join()
        return self._seen[1:]

    def _look(self) -> None:
        me: Any = psutil.Process()
        while not self._ended.wait(1.0):
            if not any(self._folder.glob("*.pkl")):
                continue
            sizes = [0]
            for child in me.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    sizes.append(child.memory_info().rss)
            self._seen.append((me.memory_info().rss // 2**20, max(sizes) // 2**20))
