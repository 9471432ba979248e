"""Result files: written atomically, named safely, and read without trusting them.

A result is ``[config, stats]``, two dicts of plain Python and NumPy. It lies on disk twice under one stem,
``<name>_<time>_seed<S>``: as ``.pkl``, readable with nothing but ``pickle`` and NumPy, and as ``.json``, strict JSON of
``{"config": …, "stats": …, "types": …}`` in which NaN is null and arrays are lists; "types" lists what JSON cannot say,
so that both files give back the same.
"""

import hashlib
import json
import math
import pickle
import re
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from cl_sparse.errors import UserError
from cl_sparse.results.packs import SUFFIX, is_pack, lines_of, may_be_member, member_line, members, packed
from cl_sparse.results.plain import from_json, plain, to_json, unpickle
from cl_sparse.results.regular import check_regular
from cl_sparse.results.writing import replace_whole, sole_writer, write_together

PICKLE_PROTOCOL = 4  # read by every Python since 3.4

_MAX_NAME = 100
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{i}" for port in ("COM", "LPT") for i in range(10))}
_STEM = re.compile(r"(?P<name>.+)_(?P<time>\d{8}T\d{6}-\d{3})_seed(?P<seed>-?\d+)(?:\.(?P<copy>\d+))?")


class ResultName(NamedTuple):
    """What a result's file name says. ``copy`` counts results of the same name, millisecond and seed."""

    name: str
    time: str
    seed: int
    copy: int


def prepare_results_dir(results_dir: Path) -> Path:
    """Create the directory where absent, and make sure that a file can be written there, before hours of training.

    Raises:
        UserError: it cannot be.
    """
    try:
        results_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results_dir):
            pass
    except OSError as error:
        raise UserError(f"results directory {results_dir}: cannot write there ({error.strerror})") from error
    return results_dir


def save_result(
    results_dir: Path, name: str, seed: int, config: dict[str, Any], stats: dict[str, Any], when: datetime
) -> Path:
    """Write one result and its JSON twin; never overwrite one, never leave half of one.

    Both files are complete on the disk under hidden names before either gets its own; the JSON goes first, so that a
    ``.pkl`` always has its twin; if the process is killed in between, the next write there gives the ``.pkl`` its name.

    Args:
        results_dir: created where absent.
        name: the experiment's name; what some file system refuses is replaced (:func:`file_name_of`).
        seed: the run's seed.
        config: plain data.
        stats: plain data.
        when: the time in the file name, to the millisecond.

    Returns:
        The path of the ``.pkl``.

    Raises:
        TypeError: config or stats hold something that is not plain (see :mod:`cl_sparse.results.plain`).
        UserError: the files cannot be written.
    """
    content = {"config": plain(config, "config"), "stats": plain(stats, "stats")}
    pickled = pickle.dumps(list(content.values()), protocol=PICKLE_PROTOCOL)
    text = json_text(content).encode()
    stem = f"{file_name_of(name)}_{timestamp(when)}_seed{int(seed)}"
    prepare_results_dir(results_dir)
    try:
        return write_together(results_dir, stem, {".json": text, ".pkl": pickled})[".pkl"]
    except OSError as error:
        raise UserError(f"results directory {results_dir}: cannot write {stem} ({error.strerror})") from error


def load_result(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read ``(config, stats)`` from a ``.pkl``, a ``.json`` or a pack; nothing in the file is ever run.

    Args:
        path: as :func:`find_results` gives it.

    Raises:
        UserError: the file is absent, damaged, or holds anything but plain data.
    """
    path = Path(path)
    if is_pack(path):
        raise UserError(
            f"{path}: holds several results: find_results(Path({str(path.parent)!r})) gives the path of each"
        )
    try:
        data = member_line(path) if is_pack(path.parent) else check_regular(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        content = unpickle(data) if path.suffix == ".pkl" else _parse_json(data)
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a result that can be read safely ({reason})") from error
    if not (isinstance(content, list) and len(content) == 2 and all(isinstance(part, dict) for part in content)):
        raise UserError(f"{path}: not a result, which is a pickle or JSON of [config, stats], two dicts")
    return content[0], content[1]


def find_results(results_dir: Path, name: str | None = None) -> list[Path]:
    """All results in a directory: the ``.pkl`` of each, or the ``.json`` where it stands alone, or its place in a pack.

    Args:
        results_dir: the directory; folders in it are not searched.
        name: only this experiment's.

    Returns:
        Paths sorted by name, time and seed.

    Raises:
        UserError: there is no such directory, or a pack in it is damaged.
    """
    if not results_dir.is_dir():
        raise UserError(f"results directory {results_dir}: there is no such directory")
    found: dict[ResultName, Path] = {}
    there = list(results_dir.iterdir())
    wanted = None if name is None else file_name_of(name)
    packs = [path for path in there if is_pack(path) and wanted in (None, path.name.removesuffix(SUFFIX))]
    for path in (*there, *(member for pack in packs for member in members(pack))):
        parsed = parse_file_name(path)
        if parsed is None or wanted not in (None, parsed.name):
            continue
        if path.suffix == ".pkl" or parsed not in found:
            found[parsed] = path
    return [found[key] for key in sorted(found)]


def pack_results(results_dir: Path) -> dict[Path, int]:
    """Put the results of each experiment in a directory into its pack, and remove their single files.

    A pack is whole, and every result in it compared with what was to be packed, before anything is removed.

    Args:
        results_dir: packs that are there already are added to; pictures stay.

    Returns:
        The packs written, with the number of results in each.

    Raises:
        UserError: a result cannot be read, or a pack cannot be written; nothing is lost.
    """
    find_results(results_dir)  # before a lock is made there
    try:
        with sole_writer(results_dir) as hidden:  # who packs beside us has finished, and is seen whole
            by_pack: dict[Path, list[Path]] = {}
            for path in find_results(results_dir):
                parsed = parse_file_name(path)
                if parsed is not None and not is_pack(path.parent):
                    by_pack.setdefault(results_dir / f"{parsed.name}{SUFFIX}", []).append(path)
            return {pack: _pack(pack, paths, hidden) for pack, paths in by_pack.items()}
    except OSError as error:
        raise UserError(f"results directory {results_dir}: cannot pack ({error.strerror})") from error


def _pack(pack: Path, paths: list[Path], hidden: Path) -> int:
    lines = lines_of(pack)
    for path in paths:
        lines[path.stem] = _line(path)
    try:
        replace_whole(pack, packed(lines, in_order), hidden)
        for path in paths:
            for suffix in (".json", ".pkl"):
                path.with_suffix(suffix).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"results directory {pack.parent}: cannot pack {pack.name} ({error.strerror})") from error
    return len(lines)


def in_order(stem: str) -> tuple[object, ...]:
    """Return what a pack's lines are sorted by: name, time, seed and copy of the result that goes by ``stem``."""
    return parse_file_name(Path(f"{stem}.json")) or ()


def _line(path: Path) -> bytes:
    if not may_be_member(path.stem):
        raise UserError(f"{path}: a pack takes names of at most 200 letters, digits, '.', '_' and '-': rename it first")
    content = load_result(path)
    try:
        line = _as_line(path.stem, *content)
        same = _as_line(path.stem, *_parse_json(line)) == line
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be packed ({error})") from error
    if not same:
        raise UserError(f"{path}: would not be the same in a pack: leave it as it is")
    return line


def parse_file_name(path: Path) -> ResultName | None:
    """What a result's file name says; None when it is not a result's name."""
    match = _STEM.fullmatch(path.stem)
    if match is None or path.suffix not in (".pkl", ".json") or path.name.startswith("."):
        return None
    return ResultName(match["name"], match["time"], int(match["seed"]), int(match["copy"] or 0))


def file_name_of(name: str) -> str:
    """Turn an experiment's name into a part of a file name that every file system accepts.

    Letters, digits, ".", "_" and "-" stay; anything else becomes "-". Names that are too long are cut and end in a hash
    of the whole name.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".-") or "experiment"
    if safe.split(".")[0].upper() in _RESERVED:
        safe = f"_{safe}"
    if len(safe) > _MAX_NAME:
        safe = f"{safe[: _MAX_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return safe


def timestamp(when: datetime) -> str:
    """A time as part of a file name, to the millisecond: 20261121T064500-123."""
    return f"{when:%Y%m%dT%H%M%S}-{when.microsecond // 1000:03d}"


def json_text(content: dict[str, Any]) -> str:
    """The JSON twin of ``{"config": …, "stats": …}``: strict JSON, one line per entry of either."""
    encoded = _encoded(content)
    parts = (f"{json.dumps(part)}: {_one_entry_per_line(value)}" for part, value in encoded.items())
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _as_line(stem: str, config: dict[str, Any], stats: dict[str, Any]) -> bytes:
    return json.dumps({"file": stem, **_encoded({"config": config, "stats": stats})}, allow_nan=False).encode()


def _encoded(content: dict[str, Any]) -> dict[str, Any]:
    types: dict[str, Any] = {}
    return {part: to_json(value, f"/{part}", types) for part, value in content.items()} | {"types": types}


def _one_entry_per_line(entries: dict[str, Any]) -> str:
    lines = (f"  {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in entries.items())
    return "{\n" + ",\n".join(lines) + "\n}"


def _parse_json(data: bytes) -> list[Any]:
    content = json.loads(
        data, parse_constant=_refuse_constant, parse_float=_finite_float, object_pairs_hook=_each_key_once
    )
    types = content.get("types", {}) if isinstance(content, dict) else None
    if not isinstance(types, dict):
        raise ValueError("the JSON is not an object, or its types are not")
    return [plain(from_json(content[part], f"/{part}", types), part) for part in ("config", "stats")]


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:100]!r} is there twice")
    return found


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is more than a number can hold")
    return number


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not strict JSON")
