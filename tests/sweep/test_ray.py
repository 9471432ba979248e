"""Sweeps as Ray Tune trials: the same numbers as in processes of our own, whatever happens to Ray's nodes."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.commands import ROOT, run
from tests.run.test_jobs import by_run
from tests.sweep.sweeps import GRID, SMALL, TUNED, write

pytest.importorskip("ray")

START = ("-m", "cl_sparse.start")
LONG = {**GRID, "set": {**SMALL, "train_ep": 300, "num_batch": 4}, "space": {"lr": [0.05, 0.1]}}


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def results(folder: Path, *options: str) -> dict[str, Any]:
    done = run(folder, "sweep", "s.yaml", "--results-dir", "out", *options, command=START)
    assert (done.returncode, done.stderr) == (0, "")
    found = by_run(folder / "out")
    assert [path.name for path in (folder / "out" / "checkpoints").iterdir()] == []
    return found


def in_processes(folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    other = folder / "local"
    other.mkdir()
    write(other, content)
    return results(other, "--executor", "local", "--jobs", "2")


def listens_on(process: psutil.Process) -> set[str]:
    """The addresses, none of a process that has ended meanwhile (Ray starts some that only set others up)."""
    try:
        connections = process.net_connections()
    except psutil.NoSuchProcess:
        return set()
    return {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}


def test_numbers_are_those_of_processes_and_nothing_listens_outside(tmp_path):
    content = {**TUNED, "experiments": ["quickstart_dense"], "select": {"seeds": [100], "trials": 2}}
    write(tmp_path, content)
    words = [sys.executable, *START, "sweep", "s.yaml", "--results-dir", "out", "--jobs", "2"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sweep:
        sweep.stdout.readline()  # the first trial
        ours = [psutil.Process(sweep.pid), *psutil.Process(sweep.pid).children(recursive=True)]
        listening = {address for process in ours for address in listens_on(process)}
        assert listening
        assert listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
        said = sweep.communicate(timeout=120)
    assert (sweep.returncode, said[1]) == (0, "")
    assert not (tmp_path / "out" / ".ray").exists()
    assert by_run(tmp_path / "out") == in_processes(tmp_path, content)


@pytest.mark.slow
def test_asha_stops_what_is_behind(tmp_path):
    rates = [1e-6, 2e-6, 3e-6, 4e-6, 5e-6, 6e-6, 7e-6, 0.1]
    content = {
        **TUNED,
        "experiments": ["quickstart_dense"],
        "set": {**SMALL, "num_batch": 6, "train_subset": 400},
        "space": {"lr": rates[::-1]},
        "scheduler": "asha",
        "select": {"seeds": [100], "trials": len(rates)},
        "report": {"seeds": [0]},
    }
    write(tmp_path, content)
    done = run(tmp_path, "sweep", "s.yaml", "--results-dir", "out", command=START)
    assert (done.returncode, done.stderr) == (0, "")
    assert "stopped early by ASHA" in done.stdout
    assert "# Chosen: lr=0.1:" in (tmp_path / "out" / "winners.yaml").read_text()


@contextmanager
def cluster(**head: int) -> Iterator[Any]:
    """A Ray cluster on this machine, of one node so far."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **head})
    try:
        yield nodes
    finally:
        nodes.shutdown()


def begun(folder: Path, n: int) -> None:
    """Wait until so many trials have saved a task."""
    for _ in range(1200):
        if len(list((folder / "out" / "checkpoints").glob("*.pt"))) >= n:
            return
        time.sleep(0.1)
    raise AssertionError("no trial has begun")


@pytest.mark.slow
def test_a_node_that_dies_costs_its_trials_nothing_but_their_tasks(tmp_path):
    write(tmp_path, LONG)
    with cluster() as nodes:
        other = nodes.add_node(num_cpus=1)
        words = [sys.executable, *START, "sweep", "s.yaml", "--results-dir", "out", "--ray-address", nodes.address]
        with subprocess.Popen([*words, "--jobs", "2"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as sweep:
            begun(tmp_path, 2)
            nodes.remove_node(other, allow_graceful=False)
            sweep.communicate(timeout=300)
    assert sweep.returncode == 0
    assert by_run(tmp_path / "out") == in_processes(tmp_path, LONG)


@pytest.mark.slow
def test_a_head_that_dies_costs_a_line_and_the_same_command_goes_on(tmp_path):
    write(tmp_path, LONG)
    with cluster() as nodes:
        words = [sys.executable, *START, "sweep", "s.yaml", "--results-dir", "out", "--ray-address", nodes.address]
        with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sweep:
            begun(tmp_path, 1)
            nodes.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
            said = sweep.communicate(timeout=300)
    assert sweep.returncode != 0
    assert "Traceback" not in said[1]
    lines = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert any(line["event"] == "begun" for line in lines)
    assert results(tmp_path, "--executor", "local", "--jobs", "2") == in_processes(tmp_path, LONG)


@pytest.mark.slow
def test_trials_share_a_gpu_as_far_as_it_goes(tmp_path):
    """What Ray counts as a GPU need not be there: trials compute on the CPU."""
    content = {**LONG, "space": {"lr": [0.03, 0.05, 0.07, 0.1]}}
    write(tmp_path, content)
    side_by_side = set()
    with cluster(num_cpus=4, num_gpus=1) as nodes:
        words = [sys.executable, *START, "sweep", "s.yaml", "--results-dir", "out", "--ray-address", nodes.address]
        words += ["--jobs", "4", "--gpus", "0.5", "--device", "cpu", "--quiet"]
        with subprocess.Popen(words, cwd=tmp_path) as sweep:
            while sweep.poll() is None:
                side_by_side.add(len(list((tmp_path / "out" / "checkpoints").glob("*.lock"))))
                time.sleep(0.05)
    assert sweep.returncode == 0
    assert max(side_by_side) == 2
    assert len(by_run(tmp_path / "out")) == 8
