"""Where data sets are."""

import errno
import os
from pathlib import Path

from cl_sparse.errors import UserError


def data_root(given: Path | None = None) -> Path:
    """Return the folder of the data sets: the one given, else ``$CL_SPARSE_DATA``, else ``./data``, absolute.

    Raises:
        UserError: no file system has such a path, or it names a user that there is not.
    """
    try:
        return expanded(str(given or os.environ.get("CL_SPARSE_DATA") or "data")).absolute()
    except ValueError as error:
        raise UserError(f"data root (--data-root or CL_SPARSE_DATA): {error}") from None


def expanded(path: str) -> Path:
    """Return the path, ``~`` and ``~user`` put in full.

    Raises:
        ValueError: no file system has such a path, or there is no such user.
    """
    shown = repr(path) if len(path) <= 60 else f"{path[:57]!r}..."
    try:
        os.stat(path)  # noqa: PTH116 (pathlib answers "not there" to what cannot be a path at all)
    except ValueError as error:
        raise ValueError(f"{shown} cannot be a path ({error})") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ValueError(f"{shown} cannot be a path ({error.strerror})") from None
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{shown}: there is no such user") from None
