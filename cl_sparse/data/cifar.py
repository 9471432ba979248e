"""CIFAR-10 and CIFAR-100: the official archive, else a folder of images, else a download by torchvision."""

from pathlib import Path
from typing import Any

import torch

import cl_sparse.compat
from cl_sparse.data.download import fetch_into
from cl_sparse.data.image_data import ImageData, make_image_data, scaled
from cl_sparse.data.image_folder import read_folder
from cl_sparse.errors import UserError

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
_CIFAR100 = ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))


def load_cifar10(root: Path) -> ImageData:
    """Return CIFAR-10, 3×32×32, from the official archive, else ``<root>/cifar10/{train,test}/<class>/``.

    The archive, unpacked (``<root>/cifar-10-batches-py``) or not (``<root>/cifar-10-python.tar.gz``), is preferred; a
    damaged one is an error, never a reason to take the images instead. Classes have the official, alphabetical numbers.
    """
    from torchvision.datasets import CIFAR10  # a second, so not before it is needed

    return _load(CIFAR10, "cifar10", root, _CIFAR10, CIFAR10_CLASSES)


def load_cifar100(root: Path) -> ImageData:
    """Return CIFAR-100 with its 100 fine classes, from the places as for CIFAR-10 ("cifar-100-python", "cifar100")."""
    from torchvision.datasets import CIFAR100

    return _load(CIFAR100, "cifar100", root, _CIFAR100, None)


def _load(
    dataset: Any,
    name: str,
    root: Path,
    constants: tuple[tuple[float, ...], tuple[float, ...]],
    classes: tuple[str, ...] | None,
) -> ImageData:
    mean, std = scaled(constants[0]), scaled(constants[1])
    unpacked, archive, images = root / dataset.base_folder, root / dataset.filename, root / name
    try:
        official, folder = unpacked.exists() or archive.exists(), images.is_dir()
    except OSError as error:
        raise UserError(f"{root}: the data folder cannot be read ({error.strerror})") from error
    if folder and not official:
        train, test, names = read_folder(images, classes)
        return make_image_data(name, train, test, names, "image folder", mean=mean, std=std)
    if not official:
        other = f", or put its images in {images}/{{train,test}}/<class>/"
        fetch_into(root, Path(), lambda target: dataset(target, download=True), name, [unpacked, images], other)
    elif not unpacked.exists():
        _unpack(dataset, root, archive)
    return _read_official(dataset, name, root, mean, std)


def _unpack(dataset: Any, root: Path, archive: Path) -> None:
    from torchvision.datasets.utils import check_integrity

    try:
        if not check_integrity(archive, dataset.tgz_md5):
            raise UserError(f"{archive}: damaged or incomplete (wrong checksum); delete it and fetch it again")
        dataset(root, download=True)  # the archive is right: torchvision unpacks it and fetches nothing
    except OSError as error:
        raise UserError(f"{archive}: cannot be unpacked ({error})") from error


def _read_official(dataset: Any, name: str, root: Path, mean: tuple[float, ...], std: tuple[float, ...]) -> ImageData:
    from torchvision.datasets.utils import check_integrity

    expected = [*dataset.train_list, *dataset.test_list, [dataset.meta["filename"], dataset.meta["md5"]]]
    try:
        for file_name, checksum in expected:  # torchvision only says that something is wrong, not which file
            path = root / dataset.base_folder / file_name
            if not check_integrity(path, checksum):
                state = "damaged (wrong checksum)" if path.exists() else "missing"
                raise UserError(f"{path}: {state}; delete {path.parent} and fetch {name} again")
        splits = [dataset(root, train=train) for train in (True, False)]
    except OSError as error:
        raise UserError(f"{root / dataset.base_folder}: cannot be read ({error})") from error
    train, test = ((torch.from_numpy(split.data).permute(0, 3, 1, 2), torch.tensor(split.targets)) for split in splits)
    return make_image_data(name, train, test, splits[0].classes, "torchvision archive", mean=mean, std=std)
