"""Downloads that either complete or leave nothing behind."""

import http.client
import shutil
import socket
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cl_sparse.errors import UserError

TIMEOUT = 30.0  # seconds without an answer until a server counts as unreachable
FAILURES = (OSError, RuntimeError, EOFError, http.client.HTTPException, tarfile.TarError, zlib.error)


def fetch_into(
    root: Path,
    folder: Path,
    download: Callable[[Path], object],
    name: str,
    looked_in: Sequence[Path],
    other_ways: str = "",
) -> None:
    """Download a data set into an empty folder beside its place, then move it there.

    A broken or killed download therefore never leaves a file that a later run would take for complete.

    Args:
        root: the data root; made when absent.
        folder: what ``download`` makes, relative to the path it is given.
        download: gets the data set into the path given, checks it, and raises when it cannot.
        name, looked_in, other_ways: for the message of the error.

    Raises:
        UserError: no network, a wrong checksum, no permission to write.
    """
    made = [p for p in (root, *root.parents) if not p.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as scratch, socket_timeout(TIMEOUT):
            download(Path(scratch))
            _merge(Path(scratch) / folder, root / folder)
    except FAILURES as error:
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        raise UserError(missing(name, looked_in, other_ways, error)) from error


def missing(name: str, looked_in: Sequence[Path], other_ways: str, error: BaseException) -> str:
    """Return one line: what is missing, where it was looked for, why it could not be fetched, what to do."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return (
        f"{name}: not found in {' or '.join(str(p) for p in looked_in)}, and the download failed ({reason}); "
        "run this once on a machine with network and copy the folder, "
        f"or name the folder that holds the data with --data-root or CL_SPARSE_DATA{other_ways}"
    )


@contextmanager
def socket_timeout(seconds: float) -> Iterator[None]:
    """Give connections opened inside a time limit: torchvision sets none, and a silent network would hang the run."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _merge(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.is_dir():
            shutil.rmtree(target / path.name, ignore_errors=True)
        path.replace(target / path.name)
