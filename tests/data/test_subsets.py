import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cl_sparse.data.subsets import balanced_subset, validation_split
from cl_sparse.errors import UserError

Y = torch.tensor([0] * 50 + [1] * 30 + [2] * 4)[torch.randperm(84, generator=torch.Generator().manual_seed(0))]


@given(size=st.integers(3, 84), seed=st.integers(0, 5))
def test_balanced_as_far_as_the_classes_go(size: int, seed: int) -> None:
    rows = balanced_subset(Y, size, 3, seed, "train_subset")
    assert len(rows) == len(set(rows.tolist())) == size
    assert rows.tolist() == sorted(rows.tolist())
    counts = torch.bincount(Y[rows], minlength=3).tolist()
    largest = max(counts)
    assert all(n >= largest - 1 or n == full for n, full in zip(counts, [50, 30, 4], strict=True))
    assert torch.equal(rows, balanced_subset(Y, size, 3, seed, "train_subset"))


def test_seeds_draw_different_samples() -> None:
    assert not torch.equal(balanced_subset(Y, 12, 3, 0, "train_subset"), balanced_subset(Y, 12, 3, 1, "train_subset"))


@pytest.mark.parametrize("size", [85, 2, 0, -1])
def test_impossible_sizes_name_the_setting(size: int) -> None:
    with pytest.raises(UserError, match=f"^test_subset: {size} is not between 3 .* and 84 "):
        balanced_subset(Y, size, 3, 0, "test_subset")


@given(share=st.floats(0.01, 0.99), seed=st.integers(0, 5))
def test_validation_is_disjoint_complete_and_balanced(share: float, seed: int) -> None:
    train, val = validation_split(Y, share, 3, seed)
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(84))
    taken = torch.bincount(Y[val], minlength=3).tolist()
    for n, full in zip(taken, [50, 30, 4], strict=True):
        assert 1 <= n < full
        assert abs(n - share * full) <= 1


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_impossible_validation_shares(share: float) -> None:
    with pytest.raises(UserError, match=r"^validation: "):
        validation_split(Y, share, 3, 0)
