"""The manifest of a sweep's folder: what was planned, begun, finished, and what came to nothing.

``manifest.jsonl`` has a line of JSON per event and only ever grows; what a killed process left of a line is cut off by
the next one. It tells ``--status`` how far a sweep is. Which trials need not run again the result files tell, not it.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cl_sparse.errors import UserError
from cl_sparse.results.writing import release

VERSION = 1
_NAME = "manifest.jsonl"
_LOCK = ".sweep.lock"


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
    """The manifest while a sweep writes it."""

    def __init__(self, folder: Path) -> None:
        """Cut off what a killed process left half-written; nobody else may be writing."""
        self._path = folder / _NAME
        try:
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


@dataclass
class Progress:
    """How far a sweep is.

    Attributes:
        plan: the newest plan's facts: sweep, version, planned (trials by experiment), jobs.
        states: (experiment, phase, point, seed) as text → the facts of its newest event.
        ended: the facts of the end, if the newest start has come to one.
    """

    plan: dict[str, Any] = field(default_factory=dict)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    ended: dict[str, Any] | None = None


def read_progress(folder: Path) -> Progress:
    """Return how far the sweep in a folder is, without disturbing it.

    Raises:
        UserError: there is none, or its manifest is no manifest or another version's.
    """
    path = folder / _NAME
    try:
        lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last line break is being written
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): is {folder} the folder of a sweep?") from None
    found = Progress()
    for number, line in enumerate(lines, 1):
        facts = _facts(line)
        if facts is None:
            raise UserError(f"{path}:{number}: is no line of a manifest: move the file away; results are not in it")
        if facts["event"] == "plan":
            if facts.get("version") != VERSION:
                raise UserError(
                    f"{path}:{number}: is of version {facts.get('version')}, and this program reads {VERSION}"
                )
            found = Progress(plan=facts)
        elif facts["event"] == "end":
            found.ended = facts
        else:
            found.states[f"{facts.get('experiment')} {facts.get('point')} {facts.get('seed')} {facts.get('phase')}"] = (
                facts
            )
    return found


def _facts(line: bytes) -> dict[str, Any] | None:
    try:
        facts = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and isinstance(facts.get("event"), str) else None
