"""Checkpoints that are damaged, of other data, or of another version: one line that names the file and what to do."""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cl_sparse.cli import main
from cl_sparse.config.experiments import load_experiments
from cl_sparse.errors import UserError
from cl_sparse.run import build
from cl_sparse.run.checkpoint import checkpoint_path, load_checkpoint, save_checkpoint
from cl_sparse.run.one_run import Observer, Run
from tests.conftest import small_config

CONFIG = small_config(num_batch=2, train_ep=1, strategy="replay", sparsify=True, percent_on_fc=0.2)


def new_run() -> Run:
    return Run(CONFIG, build.build_benchmark(CONFIG, 0, None), 0, torch.device("cpu"), Observer())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "c.pt"
    new_run().run(path)
    return path


@pytest.fixture
def content(whole):
    return torch.load(whole, weights_only=True)


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as error:
        new_run().resume(path)
    line = str(error.value)
    assert line.startswith(f"{path}: ")
    assert "delete it" in line or "without --resume" in line
    assert "\n" not in line
    assert len(line) < len(str(path)) + 500
    return line


def put(*keys: Any) -> Callable[[dict], None]:
    """Return what sets ``content[key][key]… = value``; the value comes last."""
    *path, last, value = keys

    def change(content: Any) -> None:
        for key in path:
            content = content[key]
        content[last] = value

    return change


def drop(*keys: Any) -> Callable[[dict], None]:
    *path, last = keys

    def change(content: Any) -> None:
        for key in path:
            content = content[key]
        del content[last]

    return change


PROBE = ("learner", "plugins", "SparsityProbe")
WEIGHT = "features.fc1.weight"
CHANGES = {
    "no config": drop("config"),
    "a config that is none": put("config", 3),
    "no learner": drop("learner"),
    "no record": drop("record"),
    "a newer part": put("rng", torch.zeros(2)),
    "data that are no fingerprint": put("data", 5),
    "a newer field of the record": put("record", "joules", [1.0]),
    "no steps": drop("record", "steps"),
    "steps that are text": put("record", "steps", ["a", "b"]),
    "steps of more tasks": put("record", "steps", [1, 2, 3]),
    "accuracies of other tasks": put("record", "accs", [[0.1]]),
    "one accuracy only": put("record", "accs_init", [0.1]),
    "validation": put("record", "val_accs", [[0.1, 0.1], [0.1, 0.1]]),
    "no model": drop("learner", "model"),
    "no weight": drop("learner", "model", WEIGHT),
    "one weight more": put("learner", "model", "features.fc9.weight", torch.zeros(2)),
    "a weight of another shape": put("learner", "model", WEIGHT, torch.zeros(2, 2)),
    "a weight that is none": put("learner", "model", WEIGHT, "zero"),
    "iterations of no layer": put("learner", "learning_iterations", {"nowhere": 1}),
    "iterations of another layer": put("learner", "learning_iterations", {"classifier": 1}),
    "iterations that are text": put("learner", "learning_iterations", {"features.act1": "many"}),
    "another structure": put("learner", "structure", {"tensors": {}, "sizes": {}, "units": {}}),
    "half a structure": put("learner", "structure", {"tensors": {}}),
    "no optimizer": put("learner", "optimizer", {}),
    "an optimizer with other settings": put("learner", "optimizer", "param_groups", 0, "lr", 7.0),
    "an optimizer of no group": put("learner", "optimizer", "param_groups", []),
    "a momentum of another shape": put("learner", "optimizer", "state", 0, "momentum_buffer", torch.zeros(3)),
    "a momentum that is none": put("learner", "optimizer", "state", 0, 4),
    "tasks that are no number": put("learner", "tasks_trained", "two"),
    "other tasks trained": put("learner", "tasks_trained", 1),
    "classes that are no numbers": put("learner", "classes_seen", ["a"]),
    "no plugins": drop("learner", "plugins"),
    "no probe": drop(*PROBE),
    "a plugin more": put("learner", "plugins", "Newer", {}),
    "a plugin without its state": put(*PROBE, {}),
    "a plugin with a state it does not know": put("learner", "plugins", "RezeroWeights", {"x": 1}),
    "epochs that are none": put(*PROBE, "epochs", [{}]),
    "use of other tasks": put(*PROBE, "use", {"features.act1": [None]}),
    "use of other units": put(*PROBE, "use", {"features.act1": [None, torch.zeros(3)]}),
    "counts of other units": put(*PROBE, "on_idxs", {"features.act1": torch.zeros(3, dtype=torch.long)}),
    "counts of another layer": put(*PROBE, "on_idxs", {"act9": torch.zeros(50, dtype=torch.long)}),
    "a memory that is none": put("learner", "plugins", "Replay", "memory", [torch.zeros(3)]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_content_is_refused(tmp_path, content, name):
    CHANGES[name](content)
    save_checkpoint(tmp_path / "c.pt", content)
    refusal(tmp_path / "c.pt")


@pytest.mark.parametrize("other", [{}, [], 3, None, torch.zeros(2)], ids=str)
def test_what_is_no_checkpoint_is_refused(tmp_path, other):
    save_checkpoint(tmp_path / "c.pt", other)
    assert "not a checkpoint that this version of cl_sparse can go on from" in refusal(tmp_path / "c.pt")


def test_content_of_an_earlier_version_is_taken(tmp_path, content):
    for key in ("structure", "classes_seen"):
        del content["learner"][key]
    del content["learner"]["plugins"]["SparsityProbe"]["use"]
    del content["record"]["code_hashes"]
    del content["data"]
    save_checkpoint(tmp_path / "c.pt", content)
    assert new_run().resume(tmp_path / "c.pt") == 2


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def test_no_flipped_bit_goes_unnoticed(tmp_path, whole, content):
    data = whole.read_bytes()
    flips = random.Random(0)
    path = tmp_path / "c.pt"
    for _ in range(200):
        damaged = bytearray(data)
        damaged[flips.randrange(len(data))] ^= 1 << flips.randrange(8)
        path.write_bytes(damaged)
        try:
            got = load_checkpoint(path, torch.device("cpu"))
        except UserError:
            continue
        assert saved(got) == saved(content)  # it was a date, or padding


def test_other_data_are_refused(whole):
    changed = build.build_benchmark(CONFIG, 0, None)
    changed.fingerprint = "0123456789abcdef"
    run = Run(CONFIG, changed, 0, torch.device("cpu"), Observer())
    with pytest.raises(UserError, match=r"c\.pt: was written with other data .* 3baab2601bdb852d, .* 0123456789abcdef"):
        run.resume(whole)


def test_the_command_ends_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = checkpoint_path(Path("results"), load_experiments().config("quickstart_dense", {}), 0)
    save_checkpoint(path, {})
    assert main(["run", "--name", "quickstart_dense", "--seed", "0", "--resume"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(
        f"error: {path}: not a checkpoint that this version of cl_sparse can go on from (config: "
    )
    assert said.err.count("\n") == 1


def test_another_version_is_refused_and_none_is_the_first(make_run, tmp_path):
    path = tmp_path / "c.pt"
    run = make_run()
    run.tasks = run.tasks[:1]
    run.run(path)
    content = load_checkpoint(path, torch.device("cpu"))
    torch.save(content, path)  # as before there was a version
    assert make_run().resume(path) == 1
    torch.save({"version": 2, **content}, path)
    with pytest.raises(
        UserError, match=r"c\.pt: not a checkpoint that this version of cl_sparse can go on from \(its form"
    ):
        make_run().resume(path)
