"""A data set in memory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)  # equality of tensors is no truth value
class ImageData:
    """A data set with its training and test split. The tensors are shared: do not change them in place.

    Attributes:
        name: as it was asked for, e.g. "mnist".
        x_train, x_test: uint8 (N, C, H, W), or float32 or uint8 (N, D).
        y_train, y_test: int64 (N,), classes 0 .. C-1.
        class_names: one per class.
        mean, std: per channel, in units of the stored values: x_norm = (x - mean) / std; empty: used as is.
        source: where the data came from, e.g. "torchvision archive".
        full_scale: the largest value a sample can hold (of integer samples).
        fingerprint: first 16 hex digits of the SHA-256 over the tensors of the complete data set (before subsets).
    """

    name: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    fingerprint: str
    full_scale: float = 255.0


def make_image_data(
    name: str,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    class_names: Sequence[str],
    source: str,
    *,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    full_scale: float = 255.0,
) -> ImageData:
    """Build an ``ImageData``: contiguous tensors, labels as int64, fingerprint computed."""
    x_train, y_train, x_test, y_test = train[0].contiguous(), train[1].long(), test[0].contiguous(), test[1].long()
    digits = fingerprint([x_train, y_train, x_test, y_test])
    names = tuple(class_names)
    return ImageData(name, x_train, y_train, x_test, y_test, names, mean, std, source, digits, full_scale)


def fingerprint(tensors: Sequence[Tensor]) -> str:
    """Return the first 16 hex digits of the SHA-256 over dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().reshape(-1).data)
    return digest.hexdigest()[:16]


def channel_statistics(x: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel (dimension 1) of images (N, C, H, W), over all else if (N, D).

    A channel that never changes gets the standard deviation 1.
    """
    planes = [x[:, c] for c in range(x.shape[1])] if x.ndim > 2 else [x]
    means = tuple(float(plane.double().mean()) for plane in planes)
    stds = tuple(float(plane.double().std(correction=0)) or 1.0 for plane in planes)
    return means, stds


def scaled(constants: Sequence[float]) -> tuple[float, ...]:
    """Turn published constants for values in 0..1 into constants for stored bytes 0..255."""
    return tuple(255 * c for c in constants)
