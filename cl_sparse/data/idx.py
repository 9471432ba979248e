"""Reading IDX files, the format of MNIST and Fashion-MNIST."""

import gzip
import math
import zlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from cl_sparse.errors import UserError

_UINT8 = 8
_MOST = 2**29  # bytes; MNIST's largest file holds 47 million


def read_idx(path: Path) -> Tensor:
    """Read an IDX file of unsigned bytes, plain or gzip-compressed (by its ending).

    The header is: two zero bytes, the type (8 = unsigned byte), the number of dimensions, each dimension as a
    big-endian 32-bit number; then the values. No more is read than the header promises: a small compressed file may
    stand for gigabytes.

    Args:
        path: the file.

    Returns:
        uint8, in the shape that the header states.

    Raises:
        UserError: the file cannot be read, is no such IDX file, holds nothing or far too much, or is shorter or longer
            than its header says.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            shape = _shape(file.read)
            size = math.prod(shape or [0])
            data = file.read(size + 1) if size <= _MOST else b""
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete it and fetch it again") from error
    if shape is None:
        raise UserError(f"{path}: not an IDX file of unsigned bytes; delete it and fetch it again")
    if not 0 < size <= _MOST:
        raise UserError(
            f"{path}: its header promises {'x'.join(map(str, shape))} values, where 1 to {_MOST} are possible; "
            "delete it and fetch it again"
        )
    if len(data) != size:
        held = f"{len(data)}" if len(data) < size else f"more than {size}"
        raise UserError(
            f"{path}: damaged, holds {held} bytes where its header promises {size}; delete it and fetch it again"
        )
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(shape)


def _shape(read: Callable[[int], bytes]) -> list[int] | None:
    """Read the header; return the shape it states, or None if it is no header of unsigned bytes."""
    start = read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] != _UINT8 or start[3] == 0:
        return None
    sizes = read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        return None
    return [int.from_bytes(sizes[i : i + 4], "big") for i in range(0, len(sizes), 4)]
