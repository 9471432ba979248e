"""What lies in a results folder is read and written only where it is a file: the folder may come from anywhere.

A named pipe would be waited for without end, a device read without end, and a link leads out of the folder.
"""

import errno
import stat
from pathlib import Path


def check_regular(path: Path) -> Path:
    """Return a path that leads to a file.

    Raises:
        OSError: there is none, or it is something else.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return path


def check_not_a_link(path: Path) -> Path:
    """Return a path that may be written to.

    Raises:
        OSError: it is a link.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link", path)
    return path
