import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import PermutedDigits, RotatedMNIST, SplitDigits
from cl_sparse.data import TaskStream


def toy_stream() -> TaskStream:
    x = torch.arange(24, dtype=torch.uint8).reshape(6, 1, 2, 2)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    rows = [torch.tensor([0, 1, 3, 4]), torch.tensor([2, 5])]
    return TaskStream(x, y, rows, torch.tensor([[0, 1, -1], [-1, -1, 0]]), mean=(2.0,), std=(4.0,))


def test_a_batch_holds_the_named_samples_normalised_with_task_labels() -> None:
    x, y, t = toy_stream().batch(torch.tensor([5, 0, 3]))
    torch.testing.assert_close(
        x, (torch.tensor([5, 0, 4])[:, None] * 4 + torch.arange(4) - 2.0).reshape(3, 1, 2, 2) / 4
    )
    assert x.dtype == torch.float32
    assert y.tolist() == [0, 0, 1]
    assert t.tolist() == [1, 0, 0]


def test_numbering_sizes_and_bytes() -> None:
    stream = toy_stream()
    assert (stream.n_tasks, len(stream), stream.offsets) == (2, 6, [0, 4, 6])
    assert stream.task_ids(1).tolist() == [4, 5]
    assert stream.rows(1).tolist() == [2, 5]
    assert stream.labels(0).tolist() == [0, 1, 0, 1]
    assert stream.input_shape == (1, 2, 2)
    assert stream.sample_bytes == 4 + 8


def test_per_channel_normalisation_and_values_used_as_they_are() -> None:
    x = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rows, labels = [torch.arange(5)], torch.tensor([[0]])
    y = torch.zeros(5, dtype=torch.int64)
    mean, std = (10.0, 20.0, 30.0), (2.0, 4.0, 8.0)
    got = TaskStream(x, y, rows, labels, mean=mean, std=std).batch(torch.arange(5))[0]
    torch.testing.assert_close(got, (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None])
    flat = torch.randn(5, 7)
    assert torch.equal(TaskStream(flat, y, rows, labels).batch(torch.arange(5))[0], flat)


def test_a_batch_never_aliases_the_stored_data() -> None:
    y, rows = torch.zeros(5, dtype=torch.int64), [torch.arange(5)]
    stream = TaskStream(torch.zeros(5, 2), y, rows, torch.tensor([[0]]))
    stream.batch(torch.arange(5))[0].add_(1)
    assert stream.x.sum() == 0


def test_a_class_without_label_and_disagreeing_lengths_are_errors() -> None:
    x, y = torch.zeros(2, 3), torch.tensor([0, 1])
    with pytest.raises(ValueError, match="task 0 holds samples of a class that has no label"):
        TaskStream(x, y, [torch.arange(2)], torch.tensor([[0, -1]]))
    with pytest.raises(ValueError, match="2 samples, 3 labels"):
        TaskStream(x, torch.zeros(3, dtype=torch.int64), [torch.arange(2)], torch.tensor([[0]]))
    with pytest.raises(ValueError, match="1 means, 2 standard deviations"):
        TaskStream(x, y, [torch.arange(2)], torch.tensor([[0, 1]]), mean=(0.0,), std=(1.0, 1.0))


@pytest.mark.parametrize("factory", [PermutedDigits, SplitDigits, lambda n: RotatedMNIST(n, dataset="digits")])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_mixed_batch_equals_the_tasks_own_batches(factory, data) -> None:
    stream = factory(5).tensors["train"]
    ids = torch.tensor(data.draw(st.lists(st.integers(0, len(stream) - 1), min_size=1, max_size=12)))
    x, y, t = stream.batch(ids)
    for task in t.unique():
        mine = t == task
        alone = stream.batch(ids[mine])
        torch.testing.assert_close(x[mine], alone[0])
        assert torch.equal(y[mine], alone[1])
        assert bool((alone[2] == task).all())


def test_tasks_with_the_same_rows_share_them() -> None:
    stream = PermutedDigits(100).tensors["train"]
    assert len(stream) == 100 * 1347
    assert len(stream._rows) == 1347


def test_moving_keeps_samples_and_returns_the_stream() -> None:
    stream = PermutedDigits(2).tensors["test"]
    before = stream.batch(torch.tensor([3, 460]))
    assert stream.to("cpu") is stream
    for old, new in zip(before, stream.batch(torch.tensor([3, 460])), strict=True):
        assert torch.equal(old, new)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("factory", [PermutedDigits, SplitDigits, lambda n: RotatedMNIST(n, dataset="digits")])
def test_cuda_gives_the_same_samples(factory) -> None:
    ids = torch.tensor([3, 0, 444, 445, 200])
    on_cpu = factory(5).tensors["test"].batch(ids)
    on_gpu = factory(5).to("cuda").tensors["test"].batch(ids)
    for a, b in zip(on_cpu, on_gpu, strict=True):
        assert b.is_cuda
        torch.testing.assert_close(a, b.cpu())
