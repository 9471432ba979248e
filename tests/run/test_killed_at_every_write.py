"""SIGKILL at every write of a command: resumed, it gives the same numbers and leaves nothing over.

The command runs once, in a process that keeps a copy of the results folder before each change of a file: opened,
written in part, synced, renamed, removed. That is what a SIGKILL at that moment leaves: locks end with their holder.
The command is then resumed in each of the copies.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from cl_sparse.cli import main
from cl_sparse.results import find_results, load_result
from tests.commands import forked
from tests.result_examples import same

COMMAND = ["run", "--name", "quickstart_sparse", "--seed", "3", "--quiet", "--resume", "--set", "num_batch=2"]
COMMAND += ["train_ep=1", "train_subset=60", "test_subset=40", "hidden_units=20", "percent_on_fc=0.2"]
WRITES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}


def run_in(folder: Path) -> int:
    os.chdir(folder)
    return main(COMMAND)


class Copies:
    """Keeps a copy of a folder at every moment at which it may change, if it has."""

    def __init__(self, folder: Path, copies: Path) -> None:
        self.folder, self.copies = folder, copies
        self.seen: set[str] = set()
        self.on = True

    def audit(self, event: str, arguments: tuple) -> None:
        if event in WRITES and self.on and not self._is_read(event, arguments):
            self.keep(event)

    def fsync(self, descriptor: int) -> None:
        """In place of ``os.fsync``: half of the file may be on the disk, or all of it."""
        target = Path(f"/proc/self/fd/{descriptor}").readlink()
        if target.is_file():
            self.keep("half", halved=target)
        self.keep("fsync")

    def keep(self, event: str, halved: Path | None = None) -> None:
        self.on = False
        copy = self.copies / f"{len(self.seen):03d}-{event}"
        if self.folder.exists():
            shutil.copytree(self.folder, copy / self.folder.name)
            if halved is not None and halved.is_relative_to(self.folder):
                partial = copy / self.folder.name / halved.relative_to(self.folder)
                os.truncate(partial, partial.stat().st_size // 2)
            digest = digest_of(copy)
            if digest in self.seen:
                shutil.rmtree(copy)
            self.seen.add(digest)
        self.on = True

    @staticmethod
    def _is_read(event: str, arguments: tuple) -> bool:
        return event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR)


def digest_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder)}\0".encode() + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()


def watched(folder: Path, copies: Path) -> int:
    keeper = Copies(folder / "results", copies)
    os.fsync = keeper.fsync
    sys.addaudithook(keeper.audit)
    return run_in(folder)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_nothing_is_lost_and_nothing_left_over_whenever_it_is_killed(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    whole, copies = tmp_path / "whole", tmp_path / "copies"
    whole.mkdir()
    copies.mkdir()
    assert forked(watched, whole, copies) == 0, capfd.readouterr().err
    expected = statistics(whole)
    moments = sorted(copies.iterdir())
    assert len(moments) > 20
    for folder in moments:
        assert run_in(folder) == 0, folder.name
        got = statistics(folder)
        assert got.keys() == expected.keys()
        for key, value in expected.items():
            assert same(got[key], value), f"{folder.name}: {key}"
        names = [path.name for path in (folder / "results").iterdir()]
        (result,) = find_results(folder / "results")
        assert {f"{result.stem}{suffix}" for suffix in (".pkl", ".json", ".png")} <= {*names}, folder.name
        assert not [name for name in names if name.startswith(".")], folder.name
        assert not list((folder / "results" / "checkpoints").iterdir()), folder.name
    capfd.readouterr()


def statistics(folder: Path) -> dict:
    """Return the result's statistics but for the seconds."""
    (path,) = find_results(folder / "results")
    stats = load_result(path)[1]
    assert stats["unit_use"]
    assert stats["overlap"]
    assert len(stats.pop("seconds")["train"]) == 2
    assert not np.isnan(stats["accs"]).any()
    return stats
