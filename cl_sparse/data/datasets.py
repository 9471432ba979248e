"""Data sets by name."""

from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from cl_sparse.data.census_income import load_census_income
from cl_sparse.data.cifar import load_cifar10, load_cifar100
from cl_sparse.data.digits import load_digits
from cl_sparse.data.hasy import load_hasy
from cl_sparse.data.image_data import ImageData
from cl_sparse.data.image_folder import load_image_folder
from cl_sparse.data.mnist import load_fashion_mnist, load_mnist
from cl_sparse.data.npz import load_npz
from cl_sparse.data.poker import load_poker
from cl_sparse.data.root import data_root as folder_of_data
from cl_sparse.data.root import expanded
from cl_sparse.data.subsets import balanced_subset
from cl_sparse.errors import SettingError

_AT_ROOT: dict[str, Callable[[Path], ImageData]] = {
    "mnist": load_mnist,
    "fashion_mnist": load_fashion_mnist,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "census_income": load_census_income,
    "hasy": load_hasy,
}
_WITHOUT_FILES: dict[str, Callable[[], ImageData]] = {"digits": load_digits, "poker": load_poker}
_AT_PATH: dict[str, Callable[[str, Path], ImageData]] = {"image_folder": load_image_folder, "npz": load_npz}

LoadedData = dict[tuple[str, Path], ImageData]  # by name and root
_MOST_LOADED = 4
_loaded: LoadedData = {}


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
        name: "mnist", "fashion_mnist", "cifar10", "cifar100", "census_income", "hasy", "digits", "poker",
            "image_folder:<dir>" or "npz:<file>"; the last two are relative to the data root, or absolute.
        data_root: folder of the data sets; None: the environment variable CL_SPARSE_DATA, else ./data.
        train_subset, test_subset: keep that many samples, the same number of each class as far as the classes go, drawn
            with ``seed``; None keeps all.
        seed: the run's seed; matters for subsets only.

    Raises:
        UserError: unknown name, data absent and not to be downloaded, damaged files, impossible subset sizes.
    """
    data = _in_memory(name, folder_of_data(data_root))
    n_classes = len(data.class_names)
    if train_subset is not None:
        rows = balanced_subset(data.y_train, train_subset, n_classes, seed, "train_subset")
        data = replace(data, x_train=data.x_train[rows], y_train=data.y_train[rows])
    if test_subset is not None:
        rows = balanced_subset(data.y_test, test_subset, n_classes, seed, "test_subset")
        data = replace(data, x_test=data.x_test[rows], y_test=data.y_test[rows])
    return data


def loaded_data() -> LoadedData:
    """Return what was read in this process, for :func:`take_loaded` in another."""
    return dict(_loaded)


def take_loaded(data: LoadedData) -> None:
    """Hold data sets that another process has read: they are not read again here."""
    _loaded.update(data)


def forget_loaded() -> None:
    """Read every data set anew from now on."""
    _loaded.clear()


def _in_memory(name: str, root: Path) -> ImageData:
    data = _loaded.pop((name, root), None) or _load(name, root)
    _loaded[name, root] = data  # the last one used is the last one
    while len(_loaded) > _MOST_LOADED:
        del _loaded[next(iter(_loaded))]
    return data


def _load(name: str, root: Path) -> ImageData:
    kind, _, path = name.partition(":")
    if name in _WITHOUT_FILES:
        return _WITHOUT_FILES[name]()
    if name in _AT_ROOT:
        return _AT_ROOT[name](root)
    if kind in _AT_PATH and path:
        try:
            place = root / expanded(path)
        except ValueError as error:
            raise SettingError("dataset", str(error)) from None
        return _AT_PATH[kind](name, place)
    known = [*_AT_ROOT, *_WITHOUT_FILES, "image_folder:<dir>", "npz:<file>"]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}"
    raise SettingError("dataset", f"unknown data set {name!r}; {hint}")
