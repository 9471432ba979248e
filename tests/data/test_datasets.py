import os
from pathlib import Path

import pytest
import torch

from cl_sparse.data import load_data
from cl_sparse.data.image_data import channel_statistics, fingerprint
from cl_sparse.errors import UserError


def test_digits_are_real_stratified_and_fixed() -> None:
    data = load_data("digits")
    assert (len(data.y_train), len(data.y_test)) == (1347, 450)
    assert (data.x_train.dtype, data.x_train.shape[1:]) == (torch.uint8, (1, 8, 8))
    assert (int(data.x_train.min()), int(data.x_train.max())) == (0, 16)
    assert data.source == "scikit-learn digits"
    assert data.fingerprint == load_data("digits", seed=5).fingerprint == "3baab2601bdb852d"
    shares = [torch.bincount(y, minlength=10) / len(y) for y in (data.y_train, data.y_test)]
    torch.testing.assert_close(*shares, atol=0.003, rtol=0)


def test_subsets_are_balanced_seeded_and_leave_the_rest_alone() -> None:
    whole, part = load_data("digits"), load_data("digits", train_subset=100, test_subset=30, seed=1)
    assert torch.bincount(part.y_train).tolist() == [10] * 10
    assert torch.bincount(part.y_test).tolist() == [3] * 10
    assert (part.mean, part.fingerprint) == (whole.mean, whole.fingerprint)
    assert len(whole.y_train) == 1347
    assert not torch.equal(part.x_train, load_data("digits", train_subset=100, seed=2).x_train)
    assert torch.equal(part.x_train, load_data("digits", train_subset=100, seed=1).x_train)


def test_a_subset_larger_than_the_data() -> None:
    with pytest.raises(UserError, match=r"^train_subset: 1348 is not between 10 .* and 1347"):
        load_data("digits", train_subset=1348)
    with pytest.raises(UserError, match=r"^test_subset: 451"):
        load_data("digits", test_subset=451)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("mnits", "did you mean 'mnist'"), ("imagenet1k", "choose one of"), ("npz:", "npz:<file>"), ("", "choose one of")],
)
def test_unknown_names(name: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        load_data(name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100", "image_folder:a", "npz:a.npz"])
def test_a_root_without_permission(tmp_path: Path, name: str) -> None:
    (tmp_path / "locked").mkdir(mode=0)
    with pytest.raises(UserError, match="cannot be read") as caught:
        load_data(name, tmp_path / "locked")
    assert str(tmp_path / "locked") in str(caught.value)


def test_statistics_per_channel() -> None:
    x = torch.tensor([[0, 2], [4, 10]], dtype=torch.uint8).reshape(2, 2, 1, 1).expand(2, 2, 3, 3)
    assert channel_statistics(x) == ((2.0, 6.0), (2.0, 4.0))
    assert channel_statistics(torch.tensor([[0, 2], [4, 6]], dtype=torch.uint8))[0] == (3.0,)


def test_the_fingerprint_sees_values_shape_and_type() -> None:
    x = torch.arange(6, dtype=torch.uint8)
    prints = [fingerprint([t]) for t in (x, x.flip(0), x.reshape(2, 3), x.long(), x.reshape(2, 3).t())]
    assert len(set(prints)) == 5


@pytest.mark.parametrize(
    ("name", "root", "line"),
    [
        ("npz:a\0b", None, "dataset: 'a.x00b' cannot be a path .embedded null byte"),
        ("image_folder:a\0b", None, "dataset: 'a.x00b' cannot be a path .embedded null byte"),
        ("image_folder:" + "x" * 5000, None, "dataset: 'xxx.* cannot be a path .File name too long"),
        ("npz:~nouser_x/a", None, "dataset: '~nouser_x/a': there is no such user"),
        ("mnist", Path("x" * 5000), "data root .--data-root or CL_SPARSE_DATA.: 'xxx.* cannot be a path"),
        ("mnist", Path("~nouser_x"), "data root .--data-root or CL_SPARSE_DATA.: '~nouser_x': there is no such user"),
    ],
)
def test_what_cannot_be_a_path_is_refused(name: str, root: Path | None, line: str) -> None:
    with pytest.raises(UserError, match=line) as caught:
        load_data(name, root)
    assert len(str(caught.value)) < 200
