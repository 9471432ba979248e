"""Writing files such that nothing is lost and nothing is left over, whenever the process is killed.

A file is whole on the disk, in a hidden folder beside its place, before it gets its own name. Processes write in a
folder one after the other: whoever holds the folder's lock knows that all that is hidden is what a killed process left.
Nothing else lies in the hidden folder, so that looking for what was left costs as little in a folder of thousands.
"""

import errno
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_LOCK = ".writing.lock"
_PATIENCE = 60.0  # seconds; to write a file takes much less than one
_TWINS = (".json", ".pkl")
_HIDDEN = ".writing"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file such that it is at every moment the old one or the new one, whole.

    Raises:
        OSError: the file cannot be written; the old one is unharmed.
    """
    with sole_writer(path.parent) as hidden:
        replace_whole(path, data, hidden)


def replace_whole(path: Path, data: bytes, hidden: Path) -> None:
    """Write a file by way of the hidden folder that :func:`sole_writer` gave.

    Raises:
        OSError: the file cannot be written; the old one is unharmed.
    """
    _write_through(hidden / path.name, data)
    (hidden / path.name).replace(path)
    _sync_directory(path.parent)


def write_together(folder: Path, stem: str, contents: dict[str, bytes]) -> dict[str, Path]:
    """Write files of one stem, in their order, each whole; never overwrite one.

    All are complete on the disk before the first gets its name. If the process is killed after that, the next one that
    writes in the folder gives the others theirs.

    Args:
        folder: where to.
        stem: their common name; where a file of that name is, ``stem.1`` and so on.
        contents: by suffix, e.g. ".json".

    Returns:
        The paths by suffix.

    Raises:
        OSError: they cannot be written; none is left.
    """
    with sole_writer(folder) as hidden:
        free = next(s for s in _stems(stem) if not any((folder / f"{s}{suffix}").exists() for suffix in contents))
        return _publish(hidden, {suffix: folder / f"{free}{suffix}" for suffix in contents}, contents)


@contextmanager
def sole_writer(folder: Path) -> Iterator[Path]:
    """Wait for other processes that write in the folder, keep them out, and settle what killed ones left.

    Yields:
        A hidden folder there, empty, for what is being written; it goes with all that is left in it.
    """
    folder.stat()  # filelock would make it
    lock = FileLock(folder / _LOCK, timeout=_PATIENCE)
    try:
        lock.acquire()
    except Timeout:
        waited = f"another process has been writing there for {_PATIENCE:.0f} seconds"
        raise TimeoutError(errno.ETIMEDOUT, waited, folder) from None
    hidden = folder / _HIDDEN
    try:
        _settle(hidden)
        hidden.mkdir()
        try:
            yield hidden
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
    finally:
        release(lock)


def release(lock: FileLock) -> None:
    """Give a held lock back and remove its file."""
    with suppress(OSError):  # Windows removes no open file: the next holder will
        Path(lock.lock_file).unlink(missing_ok=True)  # while it is held: filelock notices and makes a new one
    lock.release()


def _settle(hidden: Path) -> None:
    """Finish what a killed process began to publish, and remove the rest."""
    if hidden.is_symlink() or not hidden.is_dir():  # nothing of ours, and a link leads who knows where
        hidden.unlink(missing_ok=True)
        return
    folder = hidden.parent
    for left in list(hidden.iterdir()):
        if (
            left.is_file()
            and left.suffix in _TWINS
            and any((folder / f"{left.stem}{suffix}").exists() for suffix in _TWINS)
        ):
            left.replace(folder / left.name)  # whole: all are, before the first one leaves
    _sync_directory(folder)
    shutil.rmtree(hidden)


def _publish(hidden: Path, final: dict[str, Path], contents: dict[str, bytes]) -> dict[str, Path]:
    for suffix, data in contents.items():
        _write_through(hidden / final[suffix].name, data)
    moved: list[Path] = []
    try:
        for path in final.values():
            (hidden / path.name).replace(path)
            moved.append(path)
    except BaseException:
        for path in moved:
            path.unlink(missing_ok=True)
        raise
    _sync_directory(hidden.parent)
    return final


def _write_through(path: Path, data: bytes) -> None:
    """Write a file, and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _stems(stem: str) -> Iterator[str]:
    yield stem
    yield from (f"{stem}.{copy}" for copy in itertools.count(1))


def _sync_directory(directory: Path) -> None:
    """Make the names last as well; where a directory cannot be opened (Windows), the system does it in its own time."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
