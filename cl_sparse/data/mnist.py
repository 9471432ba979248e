"""MNIST and Fashion-MNIST from their IDX files, downloaded by torchvision when absent."""

from pathlib import Path
from typing import Any

from torch import Tensor

import cl_sparse.compat
from cl_sparse.data.download import fetch_into
from cl_sparse.data.idx import read_idx
from cl_sparse.data.image_data import ImageData, make_image_data, scaled
from cl_sparse.errors import UserError

DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def load_mnist(root: Path) -> ImageData:
    """Return MNIST from ``<root>/MNIST/raw`` (files plain or .gz); download it there when absent."""
    files = _find(root / "MNIST" / "raw") or _download("MNIST", "mnist", root, [root / "MNIST" / "raw"], "")
    names = [str(c) for c in range(10)]
    return _build("mnist", files, names, "torchvision archive", mean=0.1307, std=0.3081)


def load_fashion_mnist(root: Path) -> ImageData:
    """Return Fashion-MNIST from ``<root>/FashionMNIST/raw``, else Debian's package, else download it."""
    raw = root / "FashionMNIST" / "raw"
    source = "torchvision archive"
    files = _find(raw)
    if files is None and (files := _find(DEBIAN_FASHION)) is not None:
        source = "Debian dataset-fashion-mnist"
    if files is None:
        debian = ", or install the Debian package dataset-fashion-mnist"
        files = _download("FashionMNIST", "fashion_mnist", root, [raw, DEBIAN_FASHION], debian)
    return _build("fashion_mnist", files, _torchvision("FashionMNIST").classes, source, mean=0.2860, std=0.3530)


def _find(folder: Path) -> list[Path] | None:
    """Return the four files, each plain or compressed, or None unless all are there."""
    try:
        found = [next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None) for name in _FILES]
    except OSError as error:
        raise UserError(f"{folder}: the data folder cannot be read ({error.strerror})") from error
    return [p for p in found if p is not None] if all(found) else None


def _torchvision(name: str) -> Any:
    from torchvision import datasets  # a second, so not before it is needed

    return getattr(datasets, name)


def _download(kind: str, name: str, root: Path, looked_in: list[Path], other_ways: str) -> list[Path]:
    folder, dataset = Path(kind) / "raw", _torchvision(kind)
    fetch_into(root, folder, lambda target: dataset(target, download=True), name, looked_in, other_ways)
    files = _find(root / folder)
    if files is None:
        raise UserError(f"{root / folder}: the download of {name} left no complete set of files")
    return files


def _build(name: str, files: list[Path], classes: list[str], source: str, *, mean: float, std: float) -> ImageData:
    x_train, y_train, x_test, y_test = (read_idx(path) for path in files)
    for images, labels, path in ((x_train, y_train, files[0]), (x_test, y_test, files[2])):
        if not _fits(images, labels):
            raise UserError(f"{path}: {tuple(images.shape)} images do not fit the {tuple(labels.shape)} labels beside")
    if x_train.shape[1:] != x_test.shape[1:]:
        sizes = [f"{images.shape[2]}x{images.shape[1]}" for images in (x_test, x_train)]
        raise UserError(f"{files[2]}: images of {sizes[0]} pixels, where those of {files[0].name} have {sizes[1]}")
    return make_image_data(
        name,
        (x_train.unsqueeze(1), y_train),
        (x_test.unsqueeze(1), y_test),
        classes,
        source,
        mean=scaled([mean]),
        std=scaled([std]),
    )


def _fits(images: Tensor, labels: Tensor) -> bool:
    return images.ndim == 3 and labels.shape == images.shape[:1] and len(labels) > 0 and int(labels.max()) < 10
