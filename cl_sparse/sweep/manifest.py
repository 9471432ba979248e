"""The manifest of a sweep's folder: what was planned, begun, finished, and what came to nothing.

``manifest.jsonl`` has a line of JSON per event and only ever grows; what a killed process left of a line is cut off by
the next one. It tells ``--status`` how far a sweep is, and which trials a scheduler has stopped early; which others
need not run again the result files tell.
"""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cl_sparse.errors import UserError
from cl_sparse.results.regular import check_not_a_link, check_regular
from cl_sparse.results.writing import release

VERSION = 1
_NAME = "manifest.jsonl"
_LOCK = ".sweep.lock"
_START = b'{"event": '  # of every line


@contextmanager
def sole_sweep(folder: Path) -> Iterator[None]:
    """Keep other sweeps out of a folder.

    Raises:
        UserError: there is one in it, or the folder cannot be written to.
    """
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(f"{folder}: another sweep is at work there: wait for it, or choose --results-dir") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot write there ({error.strerror})") from None
    try:
        yield
    finally:
        release(lock)


class Manifest:
    """The manifest while a sweep writes it.

    Attributes:
        stopped_early: hash of the config, seed, and what it was made with, of each trial that was when this was read.
    """

    def __init__(self, folder: Path) -> None:
        """Cut off what a killed process left half-written; nobody else may be writing.

        Raises:
            UserError: there is a file of that name that is no manifest, or it cannot be written.
        """
        self._path = folder / _NAME
        self.stopped_early: set[tuple[str, int, str]] = set()
        try:
            check_not_a_link(self._path)
            if self._path.exists():
                self.stopped_early = _read_own(check_regular(self._path)).stopped_early
            with self._path.open("a+b") as file:
                file.seek(0)
                content = file.read()
                file.truncate(content.rfind(b"\n") + 1)
        except OSError as error:
            raise self._unwritable(error) from None

    def note(self, event: str, **facts: Any) -> None:
        """Add a line.

        Raises:
            UserError: it cannot be written; the lines before are unharmed.
        """
        line = json.dumps({"event": event, "time": datetime.now().isoformat(timespec="seconds"), **facts}, default=str)
        try:
            with self._path.open("ab") as file:
                whole = file.tell()
                try:
                    file.write(line.encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    os.ftruncate(file.fileno(), whole)
                    raise
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(f"{self._path}: cannot be written ({error.strerror})")


def _read_own(path: Path) -> "Progress":
    """Return what a manifest says; raise if it holds anything but its lines, of which the last may be half-written."""
    found = read_manifest(path)
    last = path.read_bytes().rpartition(b"\n")[2]
    if not (last.startswith(_START) or _START.startswith(last)):
        raise UserError(f"{path}: is no manifest of a sweep: move it away, or choose another --results-dir")
    return found


class _Facts(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    time: str = ""


class Plan(_Facts):
    """What a start of the sweep intends.

    Attributes:
        planned: trials by experiment.
        jobs: of them side by side.
    """

    event: Literal["plan"] = "plan"
    version: Literal[1] = 1
    planned: dict[str, Annotated[int, Field(ge=0, le=10**9)]] = {}
    jobs: int = Field(1, ge=1, le=10**6)


class State(_Facts):
    """The newest that is known of a trial.

    Attributes:
        values: parameter -> value.
        worth, seconds: of a finished one.
        config, made_with: of one that was stopped early, a hash of its config, and what code and data are.
    """

    event: Literal["begun", "finished", "stopped", "failed", "stopped early"]
    experiment: str
    phase: str
    point: int
    seed: int
    values: dict[str, Any] = {}
    worth: float = math.nan
    seconds: float = Field(0.0, ge=0, le=1e12)
    config: str = ""
    made_with: str = ""


class End(_Facts):
    """How the newest start of the sweep has ended."""

    event: Literal["end"] = "end"
    line: str


_Line: TypeAdapter[Plan | State | End] = TypeAdapter(Annotated[Plan | State | End, Field(discriminator="event")])


@dataclass
class Progress:
    """How far a sweep is.

    Attributes:
        plan: of its newest start.
        states: of each trial.
        ended: how that start ended, if it has.
        stopped_early: as `Manifest` has it, in whatever start.
    """

    plan: Plan = field(default_factory=Plan)
    states: dict[tuple[str, str, int, int], State] = field(default_factory=dict)
    ended: End | None = None
    stopped_early: set[tuple[str, int, str]] = field(default_factory=set)


def read_progress(folder: Path) -> Progress:
    """Return how far the sweep in a folder is, without disturbing it.

    Raises:
        UserError: there is none, or its manifest is no manifest or another version's.
    """
    return read_manifest(folder / _NAME)


def read_manifest(path: Path) -> Progress:
    """Return what a manifest says, as :func:`read_progress`."""
    try:
        lines = check_regular(path).read_bytes().split(b"\n")[:-1]  # what follows the last line break is being written
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): is {path.parent} the folder of a sweep?") from None
    found = Progress()
    for number, line in enumerate(lines, 1):
        try:
            facts = _Line.validate_json(line)
        except ValidationError:
            problem = f"is no line of a manifest of version {VERSION}: move the file away; no result is in it"
            raise UserError(f"{path}:{number}: {problem}") from None
        if isinstance(facts, Plan):
            found = Progress(plan=facts, stopped_early=found.stopped_early)
        elif isinstance(facts, End):
            found.ended = facts
        else:
            found.states[facts.experiment, facts.phase, facts.point, facts.seed] = facts
            if facts.event == "stopped early":
                found.stopped_early.add((facts.config, facts.seed, facts.made_with))
    return found
