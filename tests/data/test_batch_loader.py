import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import PermutedDigits, SplitDigits
from cl_sparse.data import BatchLoader, TaskData, ids, stream_of

# isort: split
from avalanche.benchmarks.utils import AvalancheDataset, concat_datasets

BENCHMARK = PermutedDigits(4, train_subset=40, test_subset=20)
STREAM = BENCHMARK.tensors["train"]


def per_sample_ids(dataset) -> list[int]:
    """Read each sample; its pixels and task say which one it is."""
    x, _, t = STREAM.batch(torch.arange(len(STREAM)))
    keys = {(int(task), sample.numpy().tobytes()): i for i, (sample, task) in enumerate(zip(x, t, strict=True))}
    return [keys[int(t), x.numpy().tobytes()] for x, _, t in (dataset[i] for i in range(len(dataset)))]


def trees() -> st.SearchStrategy:
    leaves = st.integers(0, 3).map(lambda task: BENCHMARK.train_stream[task].dataset)

    def grow(children: st.SearchStrategy) -> st.SearchStrategy:
        subset = st.tuples(children, st.randoms(use_true_random=False), st.integers(1, 9)).map(
            lambda a: a[0].subset([a[1].randrange(len(a[0])) for _ in range(a[2])])
        )
        tensors = children.map(lambda d: d.subset(torch.arange(len(d) - 1, -1, -2)))
        pairs = st.tuples(children, children).map(lambda a: a[0].concat(a[1]))
        many = st.lists(children, min_size=1, max_size=4).map(concat_datasets)
        views = children.map(lambda d: d.eval()) | children.map(lambda d: d.train())
        return subset | tensors | pairs | many | views

    return st.recursive(leaves, grow, max_leaves=6)


@settings(max_examples=60, deadline=None)
@given(tree=trees())
def test_ids_are_those_of_the_samples_one_by_one(tree) -> None:
    got = ids(tree)
    assert got.dtype == torch.int64
    sample = range(0, len(tree), max(len(tree) // 40, 1))
    assert [got.tolist()[i] for i in sample] == per_sample_ids(tree.subset(list(sample)))
    _, y, t = STREAM.batch(got)
    assert y.tolist() == list(tree.targets)
    assert t.tolist() == list(tree.targets_task_labels)
    assert stream_of(tree) is STREAM


def test_no_sample_is_read_one_by_one(monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the per-sample path was used")

    monkeypatch.setattr(TaskData, "__getitem__", fail)
    union = concat_datasets([e.dataset for e in BENCHMARK.train_stream]).eval()
    assert sum(len(y) for _, y, _ in BatchLoader(stream_of(union), ids(union), 16)) == len(union)
    with pytest.raises(AssertionError, match="per-sample"):
        union[0]


def test_ids_refuses_what_it_cannot_serve() -> None:
    train, test = BENCHMARK.train_stream[0].dataset, BENCHMARK.test_stream[0].dataset
    with pytest.raises(ValueError, match="different streams"):
        ids(train.concat(test))
    with pytest.raises(ValueError, match="2 streams"):
        stream_of(train.concat(test))
    with pytest.raises(ValueError, match="Avalanche transforms"):
        ids(train.replace_current_transform_group(lambda x: -x))
    with pytest.raises(TypeError, match="not a part of a TaskStream"):
        ids(AvalancheDataset([torch.utils.data.TensorDataset(torch.zeros(3))]))


def test_an_empty_data_set_has_no_ids() -> None:
    assert len(ids(AvalancheDataset([]))) == 0
    empty = BENCHMARK.train_stream[0].dataset.subset([])
    assert len(ids(empty)) == 0
    assert list(BatchLoader(STREAM, ids(empty), 4, torch.Generator())) == []


@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 150), batch_size=st.integers(1, 12), shuffled=st.booleans())
def test_every_id_once_and_a_short_last_batch(n, batch_size, shuffled) -> None:
    wanted = torch.arange(n) * 3 % len(STREAM)
    loader = BatchLoader(STREAM, wanted, batch_size, torch.Generator().manual_seed(1) if shuffled else None)
    batches = list(loader)
    sizes = [len(y) for _, y, _ in batches]
    assert len(loader) == len(batches)
    assert all(size == batch_size for size in sizes[:-1])
    assert sum(sizes) == n
    assert all(isinstance(batch, list) and len(batch) == 3 for batch in batches)
    if n:
        seen = torch.cat([x for x, _, _ in batches]).flatten(1).sum(1).sort().values
        torch.testing.assert_close(seen, STREAM.batch(wanted)[0].flatten(1).sum(1).sort().values)


def test_shuffling_differs_between_epochs_and_repeats_with_the_seed() -> None:
    def epochs(seed: int) -> list[list[float]]:
        loader = BatchLoader(STREAM, STREAM.task_ids(1), 7, torch.Generator().manual_seed(seed))
        return [[x.sum().item() for x, _, _ in loader] for _ in range(2)]

    first, second = epochs(5)
    assert first != second
    assert epochs(5) == [first, second]
    assert epochs(6)[0] != first


def test_order_is_kept_without_a_generator() -> None:
    wanted = torch.tensor([9, 2, 2, 80])
    x = torch.cat([x for x, _, _ in BatchLoader(STREAM, wanted, 3)])
    assert torch.equal(x, STREAM.batch(wanted)[0])


def test_the_global_generator_is_left_alone() -> None:
    state = torch.get_rng_state()
    list(BatchLoader(STREAM, STREAM.task_ids(0), 8, torch.Generator().manual_seed(0)))
    SplitDigits(class_order="random", validation=0.2, train_subset=100, seed=3)
    assert torch.equal(state, torch.get_rng_state())


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="batch_size 0"):
        BatchLoader(STREAM, torch.arange(3), 0)
    for wrong in (torch.tensor([-1]), torch.tensor([len(STREAM)])):
        with pytest.raises(IndexError, match="the stream has 160 samples"):
            BatchLoader(STREAM, wrong, 4)
