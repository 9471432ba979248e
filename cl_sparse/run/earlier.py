"""The results that earlier commands left in a folder; each is read once, however many runs ask for theirs."""

from dataclasses import dataclass
from pathlib import Path

from cl_sparse.config import ExperimentConfig
from cl_sparse.config.identity import differing
from cl_sparse.report import Result, data_fingerprint, slim
from cl_sparse.results import find_results, load_complete_result
from cl_sparse.run import build, provenance


@dataclass(frozen=True)
class Earlier:
    """A result that stands for a run: of the same experiment, seed and data.

    Attributes:
        path: of its file.
        result: without what is there per unit.
    """

    path: Path
    result: Result

    @property
    def stopped(self) -> bool:
        """Whether the run did not come to its end."""
        return self.result[1].get("stopped") is not None

    @property
    def line(self) -> str:
        """What to say of it."""
        if self.stopped:
            return f"stopped earlier, {self.path}: run without --resume to try again"
        return f"finished earlier, {self.path}"


@dataclass(frozen=True)
class OtherData:
    """A result that would stand for a run if the data were the same."""

    path: Path

    @property
    def line(self) -> str:
        """What to say of it."""
        return f"{self.path} was made with other data than are there now, trained anew"


class EarlierResults:
    """The results in a folder.

    A result made with other data does not stand for a run; one that does not say what its data were does. One that was
    stopped does while the code is the same: it would stop again.

    Args:
        results_dir: need not exist.
        data_root: where the data are.
    """

    def __init__(self, results_dir: Path, data_root: Path | None) -> None:
        """Read nothing yet."""
        self._results_dir = results_dir
        self._data_root = data_root
        self._listed: set[str] = set()
        self._read: set[Path] = set()
        self._found: dict[tuple[str, int], list[Earlier]] = {}
        self._fingerprints: dict[str, set[str]] = {}

    def forget_listing(self) -> None:
        """Look for new files when next asked."""
        self._listed.clear()

    def find(self, config: ExperimentConfig, seed: int) -> Earlier | OtherData | None:
        """Return what stands for the run, the newest, finished ones first; else one with other data, if there is.

        Raises:
            UserError: if one of the experiment's results or its data cannot be read.
        """
        matching = self.of(config, seed)
        finished = [earlier for earlier in matching if not earlier.stopped]
        stopped = [earlier for earlier in matching if earlier.stopped and _is_of_this_code(earlier.result)]
        same = (earlier for earlier in (*finished, *stopped) if self._has_same_data(config, seed, earlier.result))
        return next(same, OtherData(finished[0].path) if finished else None)

    def of(self, config: ExperimentConfig, seed: int) -> list[Earlier]:
        """Return the results of exactly this config and seed, whatever their data, newest first."""
        if config.name not in self._listed and self._results_dir.is_dir():
            self._listed.add(config.name)
            for path in find_results(self._results_dir, config.name):
                self._add(path)
        wanted = config.identity()
        candidates = self._found.get((config.name, seed), [])
        return [earlier for earlier in reversed(candidates) if not differing(earlier.result[0], wanted)]

    def _add(self, path: Path) -> None:
        if path in self._read:
            return
        config, stats = load_complete_result(path)
        self._read.add(path)
        self._found.setdefault((config["name"], stats["seed"]), []).append(Earlier(path, (config, slim(stats))))

    def _has_same_data(self, config: ExperimentConfig, seed: int, result: Result) -> bool:
        stored = data_fingerprint(result[1])
        # One seed's data are another's, unless a benchmark of the user's draws them: then each seed is looked at.
        known = self._fingerprints.setdefault(f"{config.effective_benchmark} {config.benchmark_args()}", set())
        if stored is not None and stored not in known:
            known.add(build.build_benchmark(config, seed, self._data_root).fingerprint)
        return stored is None or stored in known


def _is_of_this_code(result: Result) -> bool:
    return result[1].get("code_hash") == provenance.code_hash()
