"""Saves a run after each task, so that a killed run loses at most the task in progress.

A checkpoint holds tensors and plain values only and is read with ``weights_only=True``: loading one runs no code.
Random generators are not in it; every task's are derived from the run's seed. It is a zip file, which holds a checksum
of each of its parts: they are compared before anything is read.
"""

import os
import zipfile
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from cl_sparse.config import ExperimentConfig
from cl_sparse.config.identity import differing, short_hash
from cl_sparse.errors import UserError
from cl_sparse.run.record import Record


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
        config: what makes the run's experiment.
        data: fingerprint of its data.
        learner: what training changed.
        record: what was measured.
    """

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


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` to ``path``: the whole new file or, if anything fails, the old one.

    Raises:
        UserError: if it cannot be written.
    """
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
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
        UserError: if the file is damaged, holds anything but tensors and plain values, or not what a checkpoint holds.
    """
    try:
        with zipfile.ZipFile(path) as parts:
            damaged = parts.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # both raise many types for a damaged file; each means the same to the user
        raise UserError(f"{path}: not a readable checkpoint: delete it to start this run anew") from error
    try:
        _Checkpoint.model_validate(content)
    except ValidationError as failure:
        first = failure.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise unfit(path, f"{where}: {first['msg']}") from None
    return content


def unfit(path: Path, reason: object) -> UserError:
    """Return the error that says why a checkpoint cannot be gone on from, and what to do."""
    short = " ".join(str(reason).split())[:300]
    return UserError(
        f"{path}: not a checkpoint that this version of cl_sparse can go on from ({short}): "
        "delete it, or run without --resume, to start this run anew"
    )
