import pytest
import torch

from benchmarks import RotatedMNIST
from benchmarks.rotations import Rotations, spread_angles
from cl_sparse.errors import UserError


def test_right_angles_are_exact() -> None:
    x = torch.randint(0, 256, (4, 2, 6, 6), dtype=torch.uint8)
    turned = Rotations(torch.tensor([0.0, 90.0, 180.0, 270.0]), (6, 6))(x, torch.arange(4))
    for quarter in range(4):
        expected = torch.rot90(x[quarter], quarter, dims=(1, 2)).float()  # counter-clockwise
        torch.testing.assert_close(turned[quarter], expected, atol=0.01, rtol=0)


def test_angles_are_spread_evenly() -> None:
    assert spread_angles(4, 90.0) == [0.0, 30.0, 60.0, 90.0]
    assert spread_angles(1, 90.0) == [0.0]
    assert RotatedMNIST(3, dataset="digits", max_angle=60).angles == [0.0, 30.0, 60.0]


def test_tasks_keep_labels_and_turn_the_raw_image() -> None:
    benchmark = RotatedMNIST(3, dataset="digits", train_subset=50)
    stream = benchmark.tensors["train"]
    upright, labels, _ = stream.batch(stream.task_ids(0))
    x, y, _ = stream.batch(stream.task_ids(2))
    assert torch.equal(y, labels)
    torch.testing.assert_close(x, torch.rot90(upright, 1, dims=(2, 3)), atol=1e-4, rtol=0)


def test_corners_become_background_not_the_mean() -> None:
    benchmark = RotatedMNIST(2, dataset="digits", max_angle=45)
    stream = benchmark.tensors["train"]
    background = (-stream.batch(stream.task_ids(0))[0]).amax()
    assert stream.batch(stream.task_ids(1))[0][:, 0, 0, 0] == pytest.approx(-background.item(), abs=1e-5)


@pytest.mark.parametrize("max_angle", [0.0, -10.0, 360.0, float("nan"), float("inf")])
def test_impossible_angles(max_angle: float) -> None:
    with pytest.raises(UserError, match="max_angle: "):
        RotatedMNIST(3, dataset="digits", max_angle=max_angle)


def test_a_list_of_angles() -> None:
    benchmark = RotatedMNIST(dataset="digits", angles=[0, 90, -90], train_subset=50)
    assert (benchmark.n_tasks, benchmark.describe()["angles"]) == (3, [0.0, 90.0, -90.0])
    assert "max_angle" not in benchmark.describe()
    stream = benchmark.tensors["train"]
    upright, left, right = (stream.batch(stream.task_ids(task))[0] for task in range(3))
    torch.testing.assert_close(left, torch.rot90(upright, 1, dims=(2, 3)), atol=1e-4, rtol=0)
    torch.testing.assert_close(right, torch.rot90(upright, -1, dims=(2, 3)), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_angle": 9.0}, "angles: they do not go with max_angle"),
        ({"n_tasks": 4}, "angles: 2 for 4 tasks: give one for each, or leave n_tasks out"),
        ({"angles": [1, float("nan")]}, "angles: .* are not all numbers of degrees"),
        ({"angles": []}, "num_batch: 0 tasks"),
    ],
)
def test_angles_that_cannot_be(arguments, message) -> None:
    with pytest.raises(UserError, match=message):
        RotatedMNIST(**{"dataset": "digits", "angles": [0.0, 5.0], **arguments})


def test_class_incremental_makes_no_sense() -> None:
    with pytest.raises(UserError, match="rotated_digits; choose domain or task"):
        RotatedMNIST(3, dataset="digits", scenario="class")
