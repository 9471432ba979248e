"""Nothing in a file is executed, nothing is written elsewhere, and every hostile input is one line."""

import io
import json
import os
import pickle
import signal
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cl_sparse.cli import main
from cl_sparse.config.experiments import load_experiments
from cl_sparse.errors import UserError
from cl_sparse.results import find_results, load_complete_result, load_result, pack_results
from cl_sparse.run.checkpoint import checkpoint_path
from tests.readers import CONFIG, STATS
from tests.sweep.sweeps import GRID, write

MARK = "executed"
SETTINGS = ["train_ep=1", "train_subset=100", "test_subset=50", "num_batch=2", "hidden_units=20"]
RUN = ["run", "--name", "quickstart_dense", "--seed", "0", "--set", *SETTINGS]
DEEP = 50_000


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder, in which and beside which nothing may appear that is not there at first."""
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    yield inside
    assert not (tmp_path / MARK).exists()
    assert not (inside / MARK).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]


class Calls:
    """Pickled, it asks the reader to call a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def touching() -> list[object]:
    code = f"open({MARK!r}, 'w')"
    return [
        Calls(os.system, f"touch {MARK}"),
        Calls(eval, code),
        Calls(exec, code),
        Calls(subprocess.call, ["touch", MARK]),
        Calls(open, MARK, "w"),
        Calls(np.load, "x.npy", None, True),
        Calls(Path.touch, Path(MARK)),
    ]


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("call", range(len(touching())))
def test_a_pickled_call_is_refused(folder, call, protocol):
    for content in ([CONFIG, {**STATS, "x": touching()[call]}], touching()[call]):
        path = folder / "net_20260101T000000-000_seed0.pkl"
        path.write_bytes(pickle.dumps(content, protocol=protocol))
        with pytest.raises(UserError, match=r"^.*\.pkl: not a result that can be read safely \(.*\)$"):
            load_result(path)


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "a/b", "..", "", "a\\u0000b", "x" * 300])
def test_a_pack_names_no_place_outside(folder, name):
    line = f'{{"file": "{name}", "config": {{"name": "net"}}, "stats": {{}}, "types": {{}}}}\n'
    (folder / "net.results.jsonl").write_text(line)
    if name == "..":  # a file name of allowed letters, and no result's
        assert find_results(folder) == []
        return
    with pytest.raises(UserError, match=r"net\.results\.jsonl:1: is no line of packed results: take the file from"):
        find_results(folder)
    assert main(["pack", "."]) == 2


@pytest.mark.parametrize(
    "body",
    [
        '"config": ' + "[" * DEEP,
        '"config": {"a": NaN}, "stats": {}, "types": {}}',
        '"config": {"a": 1, "a": 2}, "stats": {}, "types": {}}',
        '"config": {"a": ' + "9" * DEEP + '}, "stats": {}, "types": {}}',
        '"config": {"a": 1e999}, "stats": {}, "types": {}}',
        '"config": {}, "stats": {}, "types": {"/stats": "object"}}',
        '"config": {"a": [1]}, "stats": {}, "types": {"/config/a": {"dtype": "object", "shape": [10000000000]}}}',
        '"config": null, "stats": null, "types": null}',
    ],
)
def test_a_twin_or_a_line_of_a_pack(folder, body):
    twin = folder / "net_20260101T000000-000_seed0.json"
    twin.write_text("{" + body)
    with pytest.raises(UserError) as refused:
        load_complete_result(twin)
    assert "\n" not in str(refused.value)
    with pytest.raises(UserError):
        pack_results(folder)
    assert [path.name for path in folder.iterdir()] in ([twin.name], [".writing.lock", twin.name])
    twin.unlink()
    (folder / "net.results.jsonl").write_text('{"file": "net_20260101T000000-000_seed0", ' + body.rstrip("}") + "}\n")
    with pytest.raises(UserError) as refused:
        load_complete_result(next(iter(find_results(folder))))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("evil", [0, 1, 6])
def test_a_checkpoint_that_calls(folder, capsys, evil):
    settings = {key: int(value) for key, value in (setting.split("=") for setting in SETTINGS)}
    path = checkpoint_path(Path("results"), load_experiments().config("quickstart_dense", settings), 0)
    path.parent.mkdir(parents=True)
    torch.save({"config": {}, "learner": touching()[evil]}, path)
    assert main([*RUN, "--resume"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {path}: not a readable checkpoint")
    assert said.count("\n") == 1


def test_a_checkpoint_that_is_an_archive_with_other_places(folder, capsys):
    settings = {key: int(value) for key, value in (setting.split("=") for setting in SETTINGS)}
    path = checkpoint_path(Path("results"), load_experiments().config("quickstart_dense", settings), 0)
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"../../{MARK}", b"x")
        archive.writestr("archive/data.pkl", pickle.dumps(Calls(os.system, f"touch {MARK}")))
    assert main([*RUN, "--resume"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(b)}: &{chr(b)} [*{chr(b - 1)}, *{chr(b - 1)}, *{chr(b - 1)}]\n" for b in range(98, 118)
)


@pytest.mark.parametrize(
    "text",
    [
        f"experiments: !!python/object/apply:os.system ['touch {MARK}']\nseeds: [0]\n",
        f"experiments: [quickstart_dense]\nset: {{lr: !!python/object/apply:os.system ['touch {MARK}']}}\nseeds: [0]\n",
        "experiments: ['../../etc/passwd']\nseeds: [0]\n",
        'experiments: ["a\\0b"]\nseeds: [0]\n',
        "experiments: [quickstart_dense]\nset: {dataset: 'npz:../../x.npz'}\nseeds: [0]\n",
        "experiments: [quickstart_dense]\nspace: {benchmark: ['os:system']}\nseeds: [0]\n",
        "experiments: [quickstart_dense]\nspace: {plugins: [[{name: 'os:system'}]]}\nseeds: [0]\n",
        "experiments: [quickstart_dense]\nseeds: [" + "9" * DEEP + "]\n",
        "experiments: " + "[" * DEEP + "\n",
        BOMB + "experiments: [quickstart_dense]\nseeds: [0]\n",
        "experiments: [quickstart_dense]\nsearch: random\ntrials: 99999\nspace: {lr: [1.0, 2.0]}\nseeds: [0]\n",
        "\x00\x01",
    ],
)
def test_a_sweep(folder, capsys, text):
    (folder / "s.yaml").write_text(text)
    assert main(["sweep", "s.yaml", "--executor", "local"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert len(said) < 600
    assert [path.name for path in folder.iterdir()] == ["s.yaml"]


@pytest.mark.parametrize(
    "line",
    [
        {"event": "plan", "version": 1, "planned": {"x": "9"}},
        {"event": "plan", "version": 1, "planned": {"x": 10**30}},
        {"event": "plan", "version": 1, "planned": {"x": 1}, "jobs": 0},
        {"event": "begun", "experiment": [], "phase": "try", "point": 0, "seed": 0},
        {"event": "finished", "experiment": "x", "phase": "try", "point": 0, "seed": 0, "seconds": "abc"},
        {"event": "finished", "experiment": "x", "phase": "try", "point": 0, "seed": 0, "worth": []},
        {"event": "end"},
        {"event": "__class__"},
    ],
)
def test_a_manifest(folder, capsys, line):
    (folder / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    assert main(["sweep", "--status", "."]) == 2
    assert capsys.readouterr().err == (
        "error: manifest.jsonl:1: is no line of a manifest of version 1: move the file away; no result is in it\n"
    )


def test_an_archive_of_objects_among_the_data(folder, capsys):
    file = io.BytesIO()
    objects = np.array([Calls(os.system, f"touch {MARK}")], dtype=object)
    np.savez(file, x_train=objects, y_train=[0], x_test=[0], y_test=[0])
    (folder / "data.npz").write_bytes(file.getvalue())
    content = {**GRID, "set": {"benchmark": "SplitDataset", "dataset": f"npz:{folder / 'data.npz'}", "num_batch": 2}}
    path = write(folder, content)
    assert main(["sweep", str(path), "--executor", "local"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def alarm():
    """End a test that waits without end."""

    def fail(*_: object) -> None:
        raise AssertionError("waits without end")

    signal.signal(signal.SIGALRM, fail)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def pipe(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


RESULT = "net_20260101T000000-000_seed0"


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("name", ["net.results.jsonl", f"{RESULT}.pkl", f"{RESULT}.json"])
def test_a_pipe_that_poses_as_a_result_is_not_waited_for(folder, capsys, name):
    pipe(folder / name)
    assert main(["pack", str(folder)]) == 2
    assert capsys.readouterr().err == f"error: {folder / name}: cannot be read (it is no regular file)\n"


@pytest.mark.usefixtures("alarm")
def test_a_pipe_that_poses_as_a_checkpoint_or_a_manifest(folder, capsys):
    settings = {key: int(value) for key, value in (setting.split("=") for setting in SETTINGS)}
    path = checkpoint_path(Path("results"), load_experiments().config("quickstart_dense", settings), 0)
    pipe(path)
    assert main([*RUN, "--resume"]) == 2
    pipe(folder / "sweep" / "manifest.jsonl")
    assert main(["sweep", "--status", "sweep"]) == 2
    write(folder, GRID)
    assert main(["sweep", "s.yaml", "--executor", "local", "--results-dir", "sweep"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in said] == [True] * 3, said


@pytest.mark.parametrize("name", ["manifest.jsonl", ".sweep.lock", ".writing", ".writing.lock", "winners.yaml"])
def test_no_link_leads_a_sweep_out_of_its_folder(folder, name):
    victim = folder / "victim"
    victim.write_text("mine, without a line break")
    (folder / "sweep").mkdir()
    (folder / "sweep" / name).symlink_to(victim)
    write(folder, {**GRID, "space": {"lr": [0.05]}, "seeds": [0]})
    assert main(["sweep", "s.yaml", "--executor", "local", "--results-dir", "sweep"]) in (0, 2)
    assert victim.read_text() == "mine, without a line break"


def of_a_nest(levels: int) -> bytes:
    """Return a pickle of ``{t: 1}``, t being ((…, …), (…, …)): shared, and for ever to hash. Nothing here hashes it."""
    parts = [pickle.PROTO + b"\x02", pickle.EMPTY_DICT, pickle.EMPTY_TUPLE, pickle.BINPUT + b"\x00"]
    for level in range(levels):
        both = pickle.BINGET + bytes([level])
        parts += [pickle.POP, both, both, pickle.TUPLE2, pickle.BINPUT + bytes([level + 1])]
    return b"".join([*parts, pickle.BININT1 + b"\x01", pickle.SETITEM, pickle.STOP])


@pytest.mark.usefixtures("alarm")
def test_a_checkpoint_whose_key_takes_for_ever_to_hash(folder, capsys):
    settings = {key: int(value) for key, value in (setting.split("=") for setting in SETTINGS)}
    path = checkpoint_path(Path("results"), load_experiments().config("quickstart_dense", settings), 0)
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", of_a_nest(60))
        archive.writestr("archive/version", b"3\n")
    assert main([*RUN, "--resume"]) == 2
    assert "not a readable checkpoint" in capsys.readouterr().err


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("space: {lr: [&a [*a], &b [*b]]}\nseeds: [0]", "space.lr: holds more than 10000 parts"),
        (
            "space: {lr: {low: -1.7e308, high: 1.7e308}}\nsearch: random\ntrials: 2\nseeds: [0]",
            "must be within ±1e+100",
        ),
        (
            "space: {hidden_units: {low: 0, high: 1.0e+30, integer: true}}\nsearch: random\ntrials: 2\nseeds: [0]",
            "must be within ±1e+15",
        ),
        (
            "space: {" + ", ".join(f"p{i}: {list(range(100))}" for i in range(6)) + "}\nseeds: [0]",
            "space: a grid of 1000000000000 points is too large: 100000 are the most",
        ),
    ],
)
def test_a_space_that_no_machine_holds(folder, capsys, lines, said):
    (folder / "s.yaml").write_text(f"experiments: [quickstart_dense]\n{lines}\n")
    assert main(["sweep", "s.yaml", "--executor", "local"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (folder / "results").exists()


@pytest.mark.parametrize("content", ['{"my own": 1}', '{"my own": 1}\n', "x"])
def test_a_file_of_another_that_is_named_manifest_is_left_alone(folder, capsys, content):
    (folder / "sweep").mkdir()
    (folder / "sweep" / "manifest.jsonl").write_text(content)
    write(folder, GRID)
    assert main(["sweep", "s.yaml", "--executor", "local", "--results-dir", "sweep"]) == 2
    assert (folder / "sweep" / "manifest.jsonl").read_text() == content
    assert capsys.readouterr().err.count("\n") == 1


def test_a_status_shows_no_terminal_codes(folder, capsys):
    (folder / "sweep").mkdir()
    plan = {"event": "plan", "planned": {"x\x1b[2J": 1}}
    end = {"event": "end", "line": "complete\x1b]0;title"}
    (folder / "sweep" / "manifest.jsonl").write_text(f"{json.dumps(plan)}\n{json.dumps(end)}\n")
    assert main(["sweep", "--status", "sweep"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_range_beyond_its_parameter_is_refused_before_the_first_trial(folder, capsys):
    pytest.importorskip("optuna")
    content = {
        **{"experiments": ["quickstart_dense"], "space": {"dropout": {"low": 0.0, "high": 1.3}}, "search": "optuna"},
        **{"select": {"seeds": [7], "trials": 30}, "report": {"seeds": [0]}},
    }
    write(folder, content)
    assert main(["sweep", "s.yaml", "--executor", "local", "--results-dir", "sweep"]) == 2
    assert "space.dropout: 1.3 is out of range" in capsys.readouterr().err
    assert not (folder / "sweep").exists()
