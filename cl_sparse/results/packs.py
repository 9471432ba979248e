"""Packs: all results of one experiment in one file, for folders of thousands that are to be kept in git.

A pack, ``<name>.results.jsonl``, is JSON Lines: a line per result, its JSON twin on one line beside the name that the
result's own file had; ``pandas.read_json(path, lines=True)`` reads it. Lines are in the order of those names, which
hold the time: what is added comes last, and the same results always make the same bytes. Wherever a result's path is
wanted, ``<pack>/<name of the result>.json`` stands for a result in a pack.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from cl_sparse.errors import UserError
from cl_sparse.results.regular import check_regular

SUFFIX = ".results.jsonl"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
_START = re.compile(rb'\{"file": "([A-Za-z0-9._-]{1,200})", ')


def is_pack(path: Path) -> bool:
    """Return whether a path is a pack's by its name."""
    return path.name.endswith(SUFFIX) and not path.name.startswith(".")


def may_be_member(stem: str) -> bool:
    """Return whether a result of this name, without its suffix, can be in a pack."""
    return _NAME.fullmatch(stem) is not None


def members(pack: Path) -> list[Path]:
    """Return the paths that stand for the results in a pack.

    Raises:
        UserError: it cannot be read, or is damaged.
    """
    return [pack / f"{stem}.json" for stem in _index(pack)]


def member_line(path: Path) -> bytes:
    """Return the line of the result that a path stands for.

    Raises:
        UserError: the pack cannot be read, is damaged, or has no such result.
    """
    place = _index(path.parent).get(path.stem)
    if place is None:
        raise UserError(f"{path}: there is no such result in {path.parent.name}")
    with path.parent.open("rb") as file:
        file.seek(place[0])
        return file.read(place[1])


def lines_of(pack: Path) -> dict[str, bytes]:
    """Return a pack's lines by the results' names; none if there is no such file."""
    if not pack.exists():
        return {}
    return {path.stem: member_line(path) for path in members(pack)}


def packed(lines: dict[str, bytes], order: Callable[[str], tuple[object, ...]]) -> bytes:
    """Return the bytes of a pack."""
    return b"".join(lines[stem] + b"\n" for stem in sorted(lines, key=order))


def _index(pack: Path) -> dict[str, tuple[int, int]]:
    try:
        status = check_regular(pack).stat()
        return _indexed(pack, status.st_mtime_ns, status.st_size, status.st_ino)
    except OSError as error:
        raise UserError(f"{pack}: cannot be read ({error.strerror})") from None


@lru_cache(maxsize=64)
def _indexed(pack: Path, *_stamp: int) -> dict[str, tuple[int, int]]:
    """Return where each result's line begins, and its length; read anew when the file is another."""
    index: dict[str, tuple[int, int]] = {}
    start = 0
    with pack.open("rb") as file:
        for number, line in enumerate(file, 1):
            found = _START.match(line)
            if found is None or not line.endswith(b"}\n") or found[1].decode() in index:
                raise UserError(f"{pack}:{number}: is no line of packed results: take the file from where it was whole")
            index[found[1].decode()] = start, len(line) - 1
            start += len(line)
    return index
