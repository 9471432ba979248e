"""What is recorded after each epoch: against plain torch, without a trace in the run, and after a kill."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from cl_sparse.plugins import PerEpoch
from cl_sparse.results import load_result, save_result
from tests.conftest import SPARSE
from tests.plugins.test_small_plugins import Note
from tests.result_examples import WHEN

ONE_TASK = {"benchmark": "SplitDigits", "num_batch": 1, "scenario": "class", "train_ep": 3, **SPARSE}
RECORDED = {"task", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "test_calibration_error"}


def recorded(run, folder):
    return run.run(folder / "c.pt")


def same_numbers(one, other):
    np.testing.assert_equal({k: v.tolist() for k, v in one.items()}, {k: v.tolist() for k, v in other.items()})


@pytest.mark.parametrize("learner", [{}, {"batch_norm": True, "dropout": 0.0}, {"scenario": "task", "num_batch": 5}])
def test_the_last_epoch_is_the_run_s_and_nothing_else_changes(make_run, tmp_path, learner):
    changes = {**ONE_TASK, **learner}
    watched = recorded(make_run(**changes, plugins=[{"name": "per_epoch", "noise": 0.3}]), tmp_path)
    alone = recorded(make_run(**changes), tmp_path)
    assert "per_epoch" not in alone
    np.testing.assert_array_equal(watched["accs"], alone["accs"])
    epochs = watched["per_epoch"]
    assert set(epochs) == RECORDED | {"noise_loss", "noise_accuracy"}
    last = [max(i for i, task in enumerate(epochs["task"]) if task == t) for t in range(len(alone["accs"]))]
    np.testing.assert_array_equal(epochs["test_accuracy"][last], np.diag(alone["accs"]))
    assert all(len(numbers) == 3 * len(alone["accs"]) for numbers in epochs.values())


def test_the_numbers_are_those_of_plain_torch(make_run, tmp_path):
    run = make_run(**{**ONE_TASK, "train_ep": 2, "dropout": 0.0}, plugins=[{"name": "per_epoch", "noise": 0.5}])
    losses, right = [], []
    note = Note(lambda s: (losses.append(s.loss.item() * len(s.mb_y)), right.append(s.mb_output.argmax(1) == s.mb_y)))
    run.learner.plugins.append(note)
    epochs = recorded(run, tmp_path)["per_epoch"]
    steps, n = len(losses) // 2, len(run.benchmark.train_stream[0].dataset)
    for epoch in range(2):
        part = slice(epoch * steps, (epoch + 1) * steps)
        assert epochs["train_loss"][epoch] == pytest.approx(sum(losses[part]) / n, rel=1e-6)
        assert epochs["train_accuracy"][epoch] == torch.cat(right[part]).double().mean()

    stream = run.benchmark.tensors["test"]
    x, y, _ = stream.batch(torch.arange(len(stream)))
    run.learner.model.eval()
    logits = run.learner.model(x)
    assert epochs["test_loss"][-1] == pytest.approx(functional.cross_entropy(logits, y).item(), rel=1e-5)
    spots = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    noisy = run.learner.model(torch.where(spots, x.mean() + 2 * x.std(unbiased=False), x))
    assert epochs["noise_loss"][-1] == pytest.approx(functional.cross_entropy(noisy, y).item(), rel=1e-4)
    assert epochs["noise_accuracy"][-1] < epochs["test_accuracy"][-1]


def test_a_validation_split_is_recorded(make_run, tmp_path):
    stats = recorded(make_run(**ONE_TASK, validation=0.2, plugins=[{"name": "per_epoch"}]), tmp_path)
    assert stats["per_epoch"]["val_accuracy"][-1] == stats["val_accs"][0, 0]


def test_a_resumed_run_has_the_same_epochs(make_run, tmp_path):
    changes = {**ONE_TASK, "num_batch": 5, "scenario": "task", "plugins": [{"name": "per_epoch"}]}
    whole = recorded(make_run(**changes), tmp_path)
    first = make_run(**changes)
    first.tasks = first.tasks[:2]
    first.run(tmp_path / "half.pt")
    second = make_run(**changes)
    assert second.resume(tmp_path / "half.pt") == 2
    same_numbers(second.run(tmp_path / "half.pt")["per_epoch"], whole["per_epoch"])


def test_a_run_killed_behind_its_only_task_has_them_too(make_run, tmp_path):
    changes = {**ONE_TASK, "plugins": [{"name": "per_epoch"}]}
    whole = make_run(**changes).run(tmp_path / "c.pt")
    again = make_run(**changes)
    assert again.resume(tmp_path / "c.pt") == 1
    same_numbers(again.run(tmp_path / "c.pt")["per_epoch"], whole["per_epoch"])
    path = save_result(tmp_path, "one", 0, again.config.model_dump(), whole, WHEN)
    for kind in ("pkl", "json"):
        same_numbers(load_result(path.with_suffix(f".{kind}"))[1]["per_epoch"], whole["per_epoch"])


def test_a_share_out_of_range_is_refused():
    with pytest.raises(ValueError, match="noise must be from 0 to 1, not 2"):
        PerEpoch(2)
