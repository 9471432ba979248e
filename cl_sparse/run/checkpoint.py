"""Saves a run after each task, so that a killed run loses at most the task in progress.

A checkpoint holds tensors and plain values only and is read with ``weights_only=True``: loading one runs no code.
Random generators are not in it; every task's are derived from the run's seed. The last line of the file is a checksum
of all before it, which is compared before anything is read; torch reads the file with or without that line.
"""

import hashlib
import io
import mmap
import os
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from cl_sparse.config import ExperimentConfig
from cl_sparse.config.identity import differing, short_hash
from cl_sparse.errors import UserError
from cl_sparse.results.plain import SETS, Inert, with_plain_keys
from cl_sparse.results.regular import check_regular
from cl_sparse.run.record import Record

VERSION = 1  # counts up when a checkpoint holds what earlier code would take for something else
_SUM = b"\nSHA-256 of the above: "


class DamagedError(UserError):
    """The file is not what was written."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Learner(_Part):
    """See :func:`cl_sparse.run.learner_state.learner_state`; what may be absent was not there in earlier versions."""

    structure: dict[str, dict[str, Any]] = {}
    model: dict[str, Any]
    learning_iterations: dict[str, int]
    optimizer: dict[str, Any]
    tasks_trained: int
    classes_seen: list[int] = []
    plugins: dict[str, dict[str, Any]]


class _Checkpoint(_Part):
    """What a checkpoint holds; what may be absent was not there in earlier versions.

    Attributes:
        version: of this format.
        config: what makes the run's experiment.
        data: fingerprint of its data.
        learner: what training changed.
        record: what was measured.
    """

    version: int = VERSION
    config: dict[str, Any]
    data: str = ""
    learner: _Learner
    record: Record


def checkpoint_path(results_dir: Path, config: ExperimentConfig, seed: int) -> Path:
    """Return where the checkpoint of a run lies; runs of one name with other settings have other places."""
    return results_dir / "checkpoints" / f"{config.name}_seed{seed}_{short_hash(config.identity())}.pt"


def earlier_checkpoint(results_dir: Path, config: ExperimentConfig, seed: int) -> Path:
    """Return the checkpoint to go on from, which need not exist.

    Before settings were in its name, a checkpoint had the experiment's name and the seed only: if it is this very
    run's, it gets its present name.
    """
    path = checkpoint_path(results_dir, config, seed)
    nameless = path.with_name(f"{config.name}_seed{seed}.pt")
    if not path.exists() and nameless.exists():
        stored = load_checkpoint(nameless, torch.device("cpu"))["config"]
        if not differing(stored, config.identity()):
            nameless.replace(path)
    return path


def one_before(path: Path) -> Path:
    """Return where the checkpoint before the one at ``path`` lies."""
    return path.with_suffix(".before.pt")


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` to ``path``: the whole new file or, if anything fails, the old one.

    The old one stays as the one before, in case that a disk spoils the new one.

    Raises:
        UserError: if it cannot be written.
    """
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        with temporary.open("x+b") as file:
            torch.save(content, file)
            file.write(_SUM + _sum_of(file).encode())
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            path.replace(one_before(path))
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__  # torch reports a full disk in its own words
        if not isinstance(cause, OSError):
            raise
        raise UserError(f"{path.parent}: cannot write {path.name} ({cause.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Return what :func:`save_checkpoint` wrote, if it is a run's.

    Raises:
        DamagedError: if the file is damaged, or holds anything but tensors and plain values.
        UserError: if it holds not what a checkpoint holds.
    """
    try:
        _check_sum(check_regular(path))
        _check_keys(path)
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many types for a damaged file; each means the same to the user
        raise DamagedError(f"{path}: not a readable checkpoint: delete it to start this run anew") from error
    try:
        _Checkpoint.model_validate(content)
    except ValidationError as failure:
        first = failure.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise unfit(path, f"{where}: {first['msg']}") from None
    if content.pop("version", VERSION) != VERSION:
        raise unfit(path, f"its format is of another version than {VERSION}")
    return content


def _sum_of(file: BinaryIO, size: int | None = None) -> str:
    """Return the SHA-256 of a file's first ``size`` bytes, by default of all."""
    file.flush()
    with mmap.mmap(file.fileno(), size or 0, access=mmap.ACCESS_READ) as data:
        return hashlib.sha256(data).hexdigest()


def _check_sum(path: Path) -> None:
    """Raise BadZipFile if a bit is not what it was."""
    with path.open("rb") as file:
        start = file.seek(-len(_SUM) - 64, os.SEEK_END)
        end = file.read()
        if end.startswith(_SUM):
            right = _sum_of(file, start).encode() == end.removeprefix(_SUM)
        else:  # from before there was one: its parts have their own
            right = zipfile.ZipFile(file).testzip() is None
    if not right:
        raise zipfile.BadZipFile("the checksum is wrong")


class _Mapping(dict[Any, Any]):
    """Stands for an OrderedDict, which a state_dict is, with attributes."""


class _Skeleton(pickle._Unpickler):
    """Reads what is around the tensors, and refuses a key that is no plain value: hashing it may take for ever."""

    dispatch: ClassVar = with_plain_keys(pickle._Unpickler.dispatch, (str, int, float, bool))

    def find_class(self, _: str, name: str) -> Any:
        return _Mapping if name == "OrderedDict" else Inert

    def persistent_load(self, pid: Any) -> None:
        """Leave tensors where they are."""


def _check_keys(path: Path) -> None:
    """Raise if the file holds sets, or keys other than texts and numbers."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith("data.pkl")]
        data = archive.read(names[0])
    if any(opcode.name in SETS for opcode, _, _ in pickletools.genops(data)):
        raise pickle.UnpicklingError("it contains a set")
    _Skeleton(io.BytesIO(data)).load()


def unfit(path: Path, reason: object) -> UserError:
    """Return the error that says why a checkpoint cannot be gone on from, and what to do."""
    short = " ".join(str(reason).split())[:300]
    return UserError(
        f"{path}: not a checkpoint that this version of cl_sparse can go on from ({short}): "
        "delete it, or run without --resume, to start this run anew"
    )
