"""The manifest survives whatever happens to who writes it, and a folder has one sweep at a time."""

import os
import subprocess
import sys

import pytest

from cl_sparse.cli import main
from cl_sparse.errors import UserError
from cl_sparse.results import find_results
from cl_sparse.sweep.manifest import VERSION, Manifest, read_progress, sole_sweep
from tests.commands import ROOT, Failing
from tests.sweep.sweeps import GRID, write

HOLD = """
import sys
from pathlib import Path
from cl_sparse.sweep.manifest import sole_sweep
with sole_sweep(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def facts(seed: int) -> dict[str, object]:
    return {"experiment": "net", "phase": "try", "point": 0, "seed": seed}


def test_half_a_line_is_cut_off(tmp_path):
    manifest = Manifest(tmp_path)
    manifest.note("plan", version=VERSION, planned={"net": 2}, jobs=1)
    manifest.note("begun", **facts(0))
    path = tmp_path / "manifest.jsonl"
    whole = path.read_bytes()
    for length in range(len(whole) - 30, len(whole)):
        path.write_bytes(whole[:length])
        assert read_progress(tmp_path).states == {}  # as it is while it is being written
        Manifest(tmp_path).note("finished", **facts(1))
        (state,) = read_progress(tmp_path).states.values()
        assert (state.event, state.seed) == ("finished", 1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "is no line of a manifest"),
        (b"[1]", "is no line of a manifest"),
        (b"\xff\xfe", "is no line of a manifest"),
        (b'{"event": 3}', "is no line of a manifest"),
        (b"[" * 100_000, "is no line of a manifest"),
        (b'{"event": "plan", "version": 99}', f"is no line of a manifest of version {VERSION}: move the file away"),
        (b'{"event": "plan", "version": 1, "planned": {"net": "x"}}', "is no line of a manifest"),
        (b'{"event": "begun"}', "is no line of a manifest"),
    ],
)
def test_damage_is_one_line(tmp_path, capsys, line, words):
    (tmp_path / "manifest.jsonl").write_bytes(line + b"\n")
    assert main(["sweep", "--status", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path}/manifest.jsonl:1: {words}")
    assert said.count("\n") == 1


def test_two_sweeps_in_one_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [sys.executable, "-c", HOLD, str(tmp_path / "shared")]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert main(["sweep", str(write(tmp_path, GRID)), "--results-dir", "shared", "--executor", "local"]) == 2
        assert capsys.readouterr().err == (
            "error: shared: another sweep is at work there: wait for it, or choose --results-dir\n"
        )
        holder.kill()
    assert find_results(tmp_path / "shared") == []
    with sole_sweep(tmp_path / "shared"):
        pass


def test_a_full_disk_costs_a_line_and_no_result(tmp_path, capsys, monkeypatch):
    manifest = Manifest(tmp_path)
    manifest.note("plan", version=VERSION)
    whole = (tmp_path / "manifest.jsonl").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Failing(os.fsync, "manifest.jsonl"))
        with pytest.raises(UserError, match=r"manifest\.jsonl: cannot be written \(No space left on device\)"):
            manifest.note("begun", **facts(0))
    assert (tmp_path / "manifest.jsonl").read_bytes() == whole
    manifest.note("begun", **facts(1))
    assert len(read_progress(tmp_path).states) == 1


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file: cannot write there \(File exists\)"), sole_sweep(tmp_path / "file"):
        pass


def test_status_while_it_runs(tmp_path, capsys):
    manifest = Manifest(tmp_path)
    manifest.note("plan", version=VERSION, planned={"net": 4}, jobs=2)
    manifest.note("finished", **facts(0), worth=0.5, seconds=60.0)
    manifest.note("begun", **facts(1), values={"lr": 0.1})
    assert main(["sweep", "--status", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "net lr=0.1 seed 1" in out
    assert "3 of 4 trials left, about 1.5 minutes; last heard of at " in out
