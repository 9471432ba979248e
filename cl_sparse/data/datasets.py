"""Data sets by name."""

import os
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from cl_sparse.data.cifar import load_cifar10, load_cifar100
from cl_sparse.data.digits import load_digits
from cl_sparse.data.image_data import ImageData
from cl_sparse.data.image_folder import load_image_folder
from cl_sparse.data.mnist import load_fashion_mnist, load_mnist
from cl_sparse.data.npz import load_npz
from cl_sparse.data.subsets import balanced_subset
from cl_sparse.errors import UserError

_AT_ROOT: dict[str, Callable[[Path], ImageData]] = {
    "mnist": load_mnist,
    "fashion_mnist": load_fashion_mnist,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
}
_AT_PATH: dict[str, Callable[[str, Path], ImageData]] = {"image_folder": load_image_folder, "npz": load_npz}


def load_data(
    name: str,
    data_root: Path | None = None,
    *,
    train_subset: int | None = None,
    test_subset: int | None = None,
    seed: int = 0,
) -> ImageData:
    """Return a data set in memory. The same name and root are read once per process.

    Args:
        name: "mnist", "fashion_mnist", "cifar10", "cifar100", "digits", "image_folder:<dir>" or "npz:<file>"; the last
            two are relative to the data root, or absolute.
        data_root: folder of the data sets; None: the environment variable CL_SPARSE_DATA, else ./data.
        train_subset, test_subset: keep that many samples, the same number of each class as far as the classes go, drawn
            with ``seed``; None keeps all.
        seed: the run's seed; matters for subsets only.

    Raises:
        UserError: unknown name, data absent and not to be downloaded, damaged files, impossible subset sizes.
    """
    root = Path(data_root or os.environ.get("CL_SPARSE_DATA") or "data").expanduser().absolute()
    data = _load(name, root)
    n_classes = len(data.class_names)
    if train_subset is not None:
        rows = balanced_subset(data.y_train, train_subset, n_classes, seed, "train_subset")
        data = replace(data, x_train=data.x_train[rows], y_train=data.y_train[rows])
    if test_subset is not None:
        rows = balanced_subset(data.y_test, test_subset, n_classes, seed, "test_subset")
        data = replace(data, x_test=data.x_test[rows], y_test=data.y_test[rows])
    return data


@lru_cache(maxsize=4)
def _load(name: str, root: Path) -> ImageData:
    kind, _, path = name.partition(":")
    if name == "digits":
        return load_digits()
    if name in _AT_ROOT:
        return _AT_ROOT[name](root)
    if kind in _AT_PATH and path:
        return _AT_PATH[kind](name, root / Path(path).expanduser())
    known = [*_AT_ROOT, "digits", "image_folder:<dir>", "npz:<file>"]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}"
    raise UserError(f"dataset: unknown data set {name!r}; {hint}")
