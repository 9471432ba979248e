"""Reading IDX files, the format of MNIST and Fashion-MNIST."""

import gzip
import math
import zlib
from pathlib import Path

import torch
from torch import Tensor

from cl_sparse.errors import UserError

_UINT8 = 8


def read_idx(path: Path) -> Tensor:
    """Read an IDX file of unsigned bytes, plain or gzip-compressed (by its ending).

    The header is: two zero bytes, the type (8 = unsigned byte), the number of dimensions, each dimension as a
    big-endian 32-bit number; then the values.

    Args:
        path: the file.

    Returns:
        uint8, in the shape that the header states.

    Raises:
        UserError: the file cannot be read, is no such IDX file, or is shorter or longer than its header says.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete it and fetch it again") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UINT8 or len(data) < 4 + 4 * data[3]:
        raise UserError(f"{path}: not an IDX file of unsigned bytes; delete it and fetch it again")
    start = 4 + 4 * data[3]
    shape = [int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4)]
    if len(data) - start != math.prod(shape):
        raise UserError(
            f"{path}: damaged, holds {len(data) - start} bytes where its header promises {math.prod(shape)}; "
            "delete it and fetch it again"
        )
    return torch.frombuffer(bytearray(data), dtype=torch.uint8, offset=start).reshape(shape)
