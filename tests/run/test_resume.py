"""A run killed in the middle of a task and resumed gives the accuracies of an uninterrupted one, bit for bit."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from cl_sparse.config import build_config
from cl_sparse.errors import UserError
from cl_sparse.plugins import Replay
from cl_sparse.run import build, provenance
from cl_sparse.run.checkpoint import load_checkpoint, one_before, save_checkpoint
from cl_sparse.run.learner_state import learner_state, restore_learner
from cl_sparse.run.one_run import Observer, Run, carried_bytes
from cl_sparse.run.resume import resume
from tests.commands import forked


def run_and_be_killed(parameters: dict, checkpoint: Path, threads: int) -> None:
    """Run the small experiment up to a step of its third task, or of its only one."""
    torch.set_num_threads(threads)
    config = build_config("small", parameters)
    tasks = 1 if config.effective_strategy == "joint" else 3

    def on_steps(steps: int) -> None:
        if tasks == 1 + len(done):
            os.kill(os.getpid(), signal.SIGKILL)

    done: list[int] = []
    observer = Observer(on_steps, lambda task, record: done.append(task))
    Run(config, build.build_benchmark(config, 3, None), 3, torch.device("cpu"), observer).run(checkpoint)


def test_killed_and_resumed_run_is_bit_identical(make_run, tmp_path, learner_config):
    whole = make_run(seed=3, **learner_config)
    expected = whole.run(tmp_path / "whole.pt")

    checkpoint = tmp_path / "killed.pt"
    parameters = {k: v for k, v in whole.config.model_dump(exclude_unset=True).items() if k != "name"}
    assert forked(run_and_be_killed, parameters, checkpoint, torch.get_num_threads()) == -signal.SIGKILL

    resumed = make_run(seed=3, **learner_config)
    done = resumed.resume(checkpoint) if checkpoint.exists() else 0
    assert done == (0 if whole.config.effective_strategy == "joint" else 2)
    got = resumed.run(checkpoint)

    for key in ("accs", "accs_init", "val_accs", "perc_on_avg", "perc_on_std"):
        np.testing.assert_array_equal(got[key], expected[key], err_msg=key)
    for key in ("on_idxs", "density", "active_share", "unit_use"):
        for layer in expected[key]:
            np.testing.assert_array_equal(got[key][layer], expected[key][layer], err_msg=f"{key} {layer}")
    assert got["steps"] == expected["steps"]
    for name, tensor in whole.learner.model.state_dict().items():
        assert torch.equal(tensor, resumed.learner.model.state_dict()[name]), name


def flat(value, path=""):
    """Yield (path, leaf) of nested dicts and lists."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from flat(inner, f"{path}[{i}]")
    else:
        yield path, value


def test_checkpoint_round_trip_restores_every_part_of_the_learner(make_run, tmp_path, learner_config):
    run = make_run(**learner_config)
    checkpoint = tmp_path / "c.pt"
    run.run(checkpoint)
    fresh = make_run(**learner_config)
    fresh.resume(checkpoint)
    before, after = dict(flat(learner_state(run.learner))), dict(flat(learner_state(fresh.learner)))
    assert before.keys() == after.keys()
    for path, value in before.items():
        same = torch.equal(value, after[path]) if torch.is_tensor(value) else value == after[path]
        assert same or value != value, path


def test_a_result_names_the_code_of_every_task(make_run, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "code_hash", lambda: "earlier")
        make_run().run(tmp_path / "c.pt")
    content = torch.load(tmp_path / "c.pt", weights_only=True)
    content["learner"]["tasks_trained"] -= 1  # as if killed before the last task
    for name in ("steps", "samples", "carried_bytes", "train_seconds", "eval_seconds"):
        content["record"][name].pop()
    for name in ("code_hashes", "units", "live_synapses"):
        content["record"][name].pop()
    save_checkpoint(tmp_path / "c.pt", content)
    resumed = make_run()
    done = resumed.resume(tmp_path / "c.pt")
    stats = resumed.run(tmp_path / "c.pt")
    assert stats["code_hash"] == provenance.code_hash() != "earlier"
    assert stats["code_hashes"] == ["earlier"] * done + [stats["code_hash"]]


def test_a_changed_config_is_refused_by_name(make_run, tmp_path):
    make_run().run(tmp_path / "c.pt")
    with pytest.raises(UserError, match=r"c\.pt: was written with other values of lr, mb_size"):
        make_run(lr=0.01, mb_size=16).resume(tmp_path / "c.pt")


def test_a_checkpoint_from_before_classes_were_noted_is_refused_where_they_count(make_run, tmp_path):
    for loss_outputs in ("all", "seen"):
        settings = {"scenario": "class", "loss_outputs": loss_outputs}
        make_run(**settings).run(tmp_path / "c.pt")
        content = torch.load(tmp_path / "c.pt", weights_only=True)
        assert content["learner"].pop("classes_seen") == list(range(10))
        save_checkpoint(tmp_path / "c.pt", content)
        if loss_outputs == "all":
            assert make_run(**settings).resume(tmp_path / "c.pt") == 5
        else:
            with pytest.raises(UserError, match=r"c\.pt: loss_outputs seen: .* run without --resume"):
                make_run(**settings).resume(tmp_path / "c.pt")


def test_two_plugins_of_one_class_keep_their_own_state(make_run):
    one, fresh = make_run(strategy="replay"), make_run(strategy="replay")
    for run in (one, fresh):
        run.learner.plugins.append(Replay(mem_size=3))
    one._train(0)
    state = learner_state(one.learner)
    restore_learner(fresh.learner, state)
    sizes = [len(p.memory[0]) for p in fresh.learner.plugins if isinstance(p, Replay)]
    assert sizes == [len(one.benchmark.train_stream[0].dataset), 3]
    assert {"Replay", "Replay#2"} <= carried_bytes(one.learner).keys()

    del state["plugins"]["Replay#2"]
    with pytest.raises(UserError, match="holds nothing of Replay#2"):
        restore_learner(fresh.learner, state)


def test_a_run_that_ended_before_its_result_was_written_keeps_all_statistics(make_run, tmp_path):
    expected = make_run(sparsify=True, percent_on_fc=0.2).run(tmp_path / "c.pt")
    resumed = make_run(sparsify=True, percent_on_fc=0.2)
    assert resumed.resume(tmp_path / "c.pt") == 5
    got = resumed.run(tmp_path / "c.pt")
    assert expected["unit_use"]
    for key in ("unit_use", "overlap", "overlap_chance"):
        assert got[key].keys() == expected[key].keys()
        for layer, values in expected[key].items():
            np.testing.assert_array_equal(got[key][layer], values)


def test_a_damaged_checkpoint_is_refused(make_run, tmp_path):
    checkpoint = tmp_path / "c.pt"
    checkpoint.write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        make_run().resume(checkpoint)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    torch.save({"config": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path / "evil.pt", torch.device("cpu"))
    assert not (tmp_path / "ran").exists()


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "c.pt"
    save_checkpoint(path, {"task": 1})
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        save_checkpoint(path, {"task": lambda: 2})
    assert torch.load(path, weights_only=True) == {"task": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(make_run, tmp_path):
    """A byte anywhere: the run goes on from the task before, says so, and ends with the same numbers."""
    path = tmp_path / "c.pt"
    whole = make_run()
    expected = whole.run(tmp_path / "whole.pt")
    half = make_run()
    half.tasks = half.tasks[:3]
    half.run(path)
    data = path.read_bytes()
    for place in (10, len(data) // 2, len(data) - 5):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        said: list[str] = []
        resumed = make_run()
        resume(resumed, path, said.append)
        assert len(resumed.record.steps) == 2
        assert said == [f"{path}: is damaged, going on from the one before"]
    np.testing.assert_array_equal(resumed.run(tmp_path / "d.pt")["accs"], expected["accs"])
    path.unlink()  # killed between the two
    resume(last := make_run(), path)
    assert len(last.record.steps) == 2
    one_before(path).write_bytes(b"")
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"c\.pt: not a readable checkpoint"):
        resume(make_run(), path)
