"""Your own arrays, from an .npz file."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cl_sparse.data.image_data import ImageData, channel_statistics, make_image_data
from cl_sparse.errors import UserError

KEYS = ("x_train", "y_train", "x_test", "y_test")


def load_npz(name: str, path: Path) -> ImageData:
    """Return the data set in an .npz file.

    Args:
        name: of the data set.
        path: holds the arrays x_train, y_train, x_test, y_test and may hold class_names. x: (N, D), images (N, H, W)
            or (N, C, H, W); floating-point values are used as they are (embeddings, say), uint8 values are normalised
            by the training split's mean and deviation. y: (N,) whole numbers; classes are numbered in ascending order
            of the values that y_train holds.

    Raises:
        UserError: the file is absent or damaged, an array is missing or has a wrong type or shape, a value is not
            finite, or a test label never occurs in training.
    """
    arrays = _read(path)
    x_train, x_test = (_values(arrays[key], f"{path}: {key}") for key in ("x_train", "x_test"))
    if x_train.shape[1:] != x_test.shape[1:] or x_train.dtype != x_test.dtype:
        raise UserError(f"{path}: x_train and x_test differ in sample shape or type")
    classes, (y_train, y_test) = _labels(path, arrays, len(x_train), len(x_test))
    mean, std = channel_statistics(x_train) if x_train.dtype == torch.uint8 else ((), ())
    names = _class_names(path, arrays, classes)
    return make_image_data(name, (x_train, y_train), (x_test, y_test), names, "npz file", mean=mean, std=std)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        if not path.exists():
            raise UserError(f"{path}: not found; npz:<file> is taken relative to the data root")
        if not path.is_file():  # a pipe would never end
            raise OSError("not a regular file")
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): archive.getinfo(name) for name in archive.namelist()}
            if missing := [key for key in KEYS if key not in members]:
                raise UserError(f"{path}: lacks {', '.join(missing)}; it must hold {', '.join(KEYS)}")
            found = [key for key in (*KEYS, "class_names") if key in members]
            return {key: _array(archive, members[key], f"{path}: {key}") for key in found}
    except UserError:
        raise
    except Exception as error:  # damaged archives make their readers raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read as an .npz file ({reason})") from error


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, what: str) -> NDArray[Any]:
    """Read one array, having seen that the archive holds as many bytes of it as its header promises."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
        promised, held = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
    if promised != held and not dtype.hasobject:
        raise UserError(f"{what} is damaged: holds {held} bytes where its header promises {promised}")
    with archive.open(member) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _values(x: NDArray[Any], what: str) -> Tensor:
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise UserError(f"{what} has type {x.dtype}; floating-point numbers or uint8 are expected")
    if x.ndim not in (2, 3, 4) or 0 in x.shape:
        raise UserError(f"{what} has shape {x.shape}; (N, D), (N, H, W) or (N, C, H, W) is expected")
    with np.errstate(over="ignore"):
        values = np.array(x, dtype=np.uint8 if x.dtype == np.uint8 else np.float32)
    if not np.isfinite(values).all():
        raise UserError(f"{what} holds values that are not finite, or too large for 32 bits (beyond 3.4e38)")
    tensor = torch.from_numpy(values)
    return tensor.unsqueeze(1) if tensor.ndim == 3 else tensor


def _labels(
    path: Path, arrays: dict[str, NDArray[Any]], n_train: int, n_test: int
) -> tuple[NDArray[Any], tuple[Tensor, Tensor]]:
    for key, n in (("y_train", n_train), ("y_test", n_test)):
        y = arrays[key]
        if y.shape != (n,) or y.dtype.kind not in "iu":
            raise UserError(f"{path}: {key} has shape {y.shape} and type {y.dtype}; {n} whole numbers are expected")
    classes = np.unique(arrays["y_train"])
    if unknown := sorted(set(arrays["y_test"].tolist()) - set(classes.tolist())):
        raise UserError(f"{path}: y_test holds {unknown[0]}, a class that y_train lacks")
    y_train, y_test = (torch.from_numpy(np.searchsorted(classes, arrays[key])) for key in ("y_train", "y_test"))
    return classes, (y_train, y_test)


def _class_names(path: Path, arrays: dict[str, NDArray[Any]], classes: NDArray[Any]) -> list[str]:
    names = arrays.get("class_names", classes)
    if names.shape != (len(classes),):
        held = f"{len(names)} names" if names.ndim == 1 else f"an array of shape {names.shape}"
        raise UserError(f"{path}: class_names holds {held} for {len(classes)} classes")
    return [str(c) for c in names.tolist()]
