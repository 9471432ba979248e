"""Folders of images, ``<folder>/{train,test}/<class>/*.{png,jpg,...}``."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cl_sparse.data.image_data import ImageData, channel_statistics, make_image_data
from cl_sparse.errors import UserError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".webp", ".tif", ".tiff"})
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)  # what PIL raises on bad files
_CHUNK = 256  # images per job of the thread pool


def load_image_folder(name: str, folder: Path) -> ImageData:
    """Return the images of a folder, normalised by the training images' own mean and deviation per channel.

    Args:
        name: of the data set.
        folder: holds train/<class>/ and test/<class>/. Classes are numbered in the sorted order of the training
            folders' names. Files that do not end like an image are left alone. All images must have one size; they are
            grey when the first training image is, otherwise RGB.

    Raises:
        UserError: a folder is missing, empty or not readable, classes disagree, a file is damaged or of another size.
    """
    (x_train, y_train), test, classes = read_folder(folder)
    mean, std = channel_statistics(x_train)
    return make_image_data(name, (x_train, y_train), test, classes, "image folder", mean=mean, std=std)


def read_folder(
    folder: Path, classes: Sequence[str] | None = None
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], list[str]]:
    """Decode the training and test images of a folder.

    Args:
        folder: as in ``load_image_folder``.
        classes: the classes that must be there, in the order of their numbers; None: those found, sorted.

    Returns:
        (x_train uint8 (N, C, H, W), y_train int64), the same for test, and the class names.
    """
    found = _class_folders(folder / "train")
    names = list(classes) if classes is not None else found
    for split, present in (("train", found), ("test", _class_folders(folder / "test"))):
        if set(present) != set(names):
            wrong = ", ".join(sorted(set(present) ^ set(names))[:5])
            raise UserError(f"{folder / split}: its class folders are not those expected; extra or missing: {wrong}")
    files = {split: [_images(folder / split / name) for name in names] for split in ("train", "test")}
    first = _decode(files["train"][0][0], None)
    mode, shape = ("L", first.shape[:2]) if first.ndim == 2 else ("RGB", first.shape[:2])
    train, test = (read_images(files[split], mode, shape) for split in ("train", "test"))
    return train, test, names


def _class_folders(folder: Path) -> list[str]:
    try:
        names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); one folder per class is expected") from error
    if not names:
        raise UserError(f"{folder}: is empty; one folder of images per class is expected")
    return names


def _images(folder: Path) -> list[Path]:
    try:
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from error
    if not files:
        raise UserError(f"{folder}: holds no images ({', '.join(sorted(SUFFIXES))})")
    return files


def read_images(files: list[list[Path]], mode: str, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Decode images, given by class.

    Args:
        files: those of each class, in the order of the classes' numbers.
        mode: "L" (grey) or "RGB".
        shape: (height, width) of all of them.

    Returns:
        uint8 (N, C, H, W), and their classes int64 (N,).

    Raises:
        UserError: a file is damaged or of another size.
    """
    paths = [path for of_class in files for path in of_class]
    channels = 1 if mode == "L" else 3
    x = np.empty((len(paths), *shape, channels), dtype=np.uint8)

    def read(start: int) -> None:
        for i, path in enumerate(paths[start : start + _CHUNK], start):
            image = _decode(path, mode)
            if image.shape[:2] != shape:
                raise UserError(f"{path}: is {_size(image.shape)} pixels, the first image is {_size(shape)}")
            x[i] = image.reshape(*shape, channels)

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        # Fetching the results raises what a job raised, the earliest file first.
        list(pool.map(read, range(0, len(paths), _CHUNK)))
    labels = [label for label, of_class in enumerate(files) for label in repeat(label, len(of_class))]
    return torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def _decode(path: Path, mode: str | None) -> NDArray[np.uint8]:
    """Return (H, W) or (H, W, 3); mode None keeps grey images grey and makes all others RGB."""
    try:
        if not path.is_file():  # a pipe would never end
            raise OSError("not a regular file")
        with Image.open(path) as image:
            wanted = mode or ("L" if image.mode in ("1", "L") else "RGB")
            return np.asarray(image.convert(wanted) if image.mode != wanted else image, dtype=np.uint8)
    except _BROKEN as error:
        raise UserError(f"{path}: cannot be read as an image ({' '.join(str(error).split())})") from error


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
