"""One process at a run at a time, and what a killed one leaves."""

import glob
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from cl_sparse.errors import UserError
from cl_sparse.results.writing import release
from cl_sparse.run.checkpoint import one_before


class UnderWayError(UserError):
    """Another process is at the run."""


def prepare_checkpoints(results_dir: Path) -> None:
    """Create the folder of checkpoints, before hours of training.

    Raises:
        UserError: it cannot be, or no file can be written there.
    """
    folder = results_dir / "checkpoints"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from error


@contextmanager
def alone(checkpoint: Path) -> Iterator[None]:
    """Keep every other process from the run of this checkpoint; what a killed one left does not.

    Raises:
        UnderWayError: if another process is at it.
        UserError: if its folder cannot be written to.
    """
    lock = _lock(checkpoint)
    try:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise _under_way(checkpoint) from None
    except OSError as error:
        raise _unwritable(checkpoint.parent, error) from error
    try:
        for left in checkpoint.parent.glob(f"{glob.escape(checkpoint.stem)}.*.tmp"):
            left.unlink(missing_ok=True)
        yield
    finally:
        release(lock)


def check_alone(checkpoint: Path) -> None:
    """Refuse a run that another process is at; write nothing.

    Raises:
        UnderWayError: if there is one.
        UserError: if its lock cannot be taken.
    """
    lock = _lock(checkpoint)
    if not Path(lock.lock_file).exists():
        return
    try:
        with lock:
            pass
    except Timeout:
        raise _under_way(checkpoint) from None
    except OSError as error:
        raise _unwritable(checkpoint.parent, error) from error


def clear(checkpoint: Path) -> None:
    """Remove what a run that has its result left, because it was killed, unless another process is at that run.

    Raises:
        UserError: if its folder cannot be written to.
    """
    if not any(checkpoint.parent.glob(f"{glob.escape(checkpoint.stem)}.*")):
        return
    with suppress(UnderWayError), alone(checkpoint):
        remove(checkpoint)


def remove(checkpoint: Path) -> None:
    """Remove the checkpoint of a run that has its result.

    Raises:
        UserError: if it cannot be.
    """
    try:
        checkpoint.unlink(missing_ok=True)
        one_before(checkpoint).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{checkpoint}: cannot be removed ({error.strerror}), though the result is there") from error


def _lock(checkpoint: Path) -> FileLock:
    return FileLock(checkpoint.with_suffix(".lock"), timeout=0)


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(f"{folder}: cannot write there ({error.strerror})")


def _under_way(checkpoint: Path) -> UnderWayError:
    return UnderWayError(
        f"{checkpoint.with_suffix('.lock')}: another process is at this very run: wait for it, or end it"
    )
