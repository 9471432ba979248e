import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import SplitDataset, SplitDigits
from benchmarks.splits import split_classes
from cl_sparse.data import load_data
from cl_sparse.errors import UserError


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
@pytest.mark.parametrize("class_order", ["natural", "random"])
@pytest.mark.parametrize("validation", [0.0, 0.2])
def test_every_sample_appears_exactly_once(scenario: str, class_order: str, validation: float) -> None:
    benchmark = SplitDigits(5, scenario, class_order=class_order, validation=validation, seed=4)
    rows = {split: torch.cat([s.rows(t) for t in range(5)]).tolist() for split, s in benchmark.tensors.items()}
    assert sorted(rows["test"]) == list(range(450))
    assert sorted(rows["train"] + rows.get("val", [])) == list(range(1347))


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
def test_labels(scenario: str) -> None:
    benchmark = SplitDigits(5, scenario, class_order="random", seed=1)
    stream, original = benchmark.tensors["train"], load_data("digits").y_train
    for task, classes in enumerate(benchmark.task_classes):
        labels = stream.batch(stream.task_ids(task))[1]
        if scenario == "class":
            assert torch.equal(labels, original[stream.rows(task)])
        else:
            assert torch.equal(torch.tensor(classes)[labels], original[stream.rows(task)])
    assert benchmark.n_outputs == (10 if scenario == "class" else 2)


def test_natural_order_asks_odd_or_even() -> None:
    benchmark = SplitDigits(scenario="domain")
    assert benchmark.task_classes == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    for split, whole in (("train", load_data("digits").y_train), ("test", load_data("digits").y_test)):
        stream = benchmark.tensors[split]
        for task in range(5):
            _, y, _ = stream.batch(stream.task_ids(task))
            assert torch.equal(y, whole[stream.rows(task)] % 2)


@given(seed=st.integers(0, 2**40), n_tasks=st.sampled_from([1, 2, 5]))
@settings(max_examples=30, deadline=None)
def test_a_random_order_deals_out_every_class(seed: int, n_tasks: int) -> None:
    def deal() -> list[list[int]]:
        return split_classes(10, n_tasks, class_order="random", scenario="task", seed=seed, dataset="digits")

    classes = deal()
    assert classes == deal()
    assert sorted(c for task in classes for c in task) == list(range(10))
    assert {len(task) for task in classes} == {10 // n_tasks}


def test_an_order_of_ones_own() -> None:
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    benchmark = SplitDigits(class_order=order, scenario="class")
    assert benchmark.task_classes == [[3, 1], [4, 0], [5, 9], [2, 6], [8, 7]]
    assert benchmark.describe()["class_order"] == order
    assert benchmark.train_stream[2].classes_in_this_experience == [5, 9]
    assert SplitDigits(class_order=torch.tensor(order)).describe()["class_order"] == order


@pytest.mark.parametrize("order", [[0, 1, 2], [*range(9), 0], [*range(1, 11)], [], [*range(9), "9"]])
def test_an_order_that_is_none(order) -> None:
    with pytest.raises(UserError, match="class_order: a list has to hold each class of digits, 0 to 9, once; it has"):
        SplitDigits(class_order=order)


def test_seeds_draw_different_orders() -> None:
    orders = [SplitDigits(class_order="random", seed=seed).task_classes for seed in range(4)]
    assert len({str(order) for order in orders}) == 4


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_validation_is_taken_from_training_and_balanced(share: float) -> None:
    benchmark = SplitDigits(validation=share, seed=3)
    assert len(benchmark.val_stream) == 5
    train, val, y = benchmark.tensors["train"], benchmark.tensors["val"], load_data("digits").y_train
    for task in range(5):
        assert not set(train.rows(task).tolist()) & set(val.rows(task).tolist())
        for c in benchmark.task_classes[task]:
            assert abs(int((y[val.rows(task)] == c).sum()) - share * int((y == c).sum())) <= 0.5
    again, other = SplitDigits(validation=share, seed=3), SplitDigits(validation=share, seed=4)
    assert torch.equal(val.rows(2), again.tensors["val"].rows(2))
    assert not torch.equal(val.rows(2), other.tensors["val"].rows(2))


@pytest.mark.parametrize(
    ("n_tasks", "scenario", "message"),
    [
        (6, "task", "num_batch: 6 does not divide the 10 classes of digits: choose 1, 2 or 5"),
        (6, "class", "num_batch: 6 does not divide the 10 classes of digits: choose 1, 2, 5 or 10"),
        (10, "task", "num_batch: 10 leaves fewer than two per task of the 10 classes of digits: choose 1, 2 or 5"),
        (20, "class", "num_batch: 20 does not divide the 10 classes of digits: choose 1, 2, 5 or 10"),
        (0, "task", "num_batch: 0 tasks; at least 1 is needed"),
        (5, "online", "scenario: 'online' makes no sense for split_digits; choose task or domain or class"),
    ],
)
def test_impossible_settings(n_tasks: int, scenario: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        SplitDigits(n_tasks, scenario)
    assert str(caught.value) == message


def test_other_impossible_settings() -> None:
    with pytest.raises(UserError, match="class_order: 'shuffled' is unknown; choose natural or random"):
        SplitDigits(class_order="shuffled")
    for validation in (1.0, -0.1, float("nan")):
        with pytest.raises(UserError, match="validation: "):
            SplitDigits(validation=validation)
    with pytest.raises(UserError, match="train_subset: 5 "):
        SplitDigits(train_subset=5)


def test_one_class_per_task_in_the_class_incremental_scenario() -> None:
    benchmark = SplitDataset(10, "class", dataset="digits")
    assert benchmark.task_classes == [[c] for c in range(10)]
    assert benchmark.n_outputs == 10


def two_classes(folder, y_test):
    x = np.zeros((8, 3), dtype=np.float32)
    y = np.arange(8) % 4
    np.savez(folder / "d.npz", x_train=x, y_train=y, x_test=x[: len(y_test)], y_test=y_test)
    return {"dataset": "npz:d.npz", "data_root": folder}


def test_a_task_without_samples_is_named(tmp_path):
    with pytest.raises(UserError, match=r"npz:d\.npz: task 2 of 2 \(classes 2, 3\) has no test samples"):
        SplitDataset(2, **two_classes(tmp_path, [0, 1, 0]))


def test_a_single_class_makes_no_task(tmp_path):
    x, y = np.zeros((4, 3)), np.zeros(4, dtype=int)
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(UserError, match=r"dataset: npz:d\.npz has a single class, and a task of scenario task needs"):
        SplitDataset(1, dataset="npz:d.npz", data_root=tmp_path)
