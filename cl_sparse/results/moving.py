"""Moves results from one folder into another, whole: out of single files and out of packs."""

from collections.abc import Iterable
from pathlib import Path

from cl_sparse.errors import UserError
from cl_sparse.results.files import in_order, json_text, load_result
from cl_sparse.results.packs import is_pack, lines_of, packed
from cl_sparse.results.writing import write_atomically


def move_results(paths: Iterable[Path], target: Path) -> None:
    """Move results; at every moment each is in one of the folders at least.

    Args:
        paths: as :func:`cl_sparse.results.find_results` gives them; those in a pack become single files.
        target: another folder, created where absent.

    Raises:
        UserError: one cannot be read or moved.
    """
    for path in paths:
        try:
            target.mkdir(exist_ok=True)
            if is_pack(path.parent):
                _take_out(path, target)
            else:
                for suffix in (".json", ".pkl"):
                    if path.with_suffix(suffix).exists():
                        path.with_suffix(suffix).replace(target / f"{path.stem}{suffix}")
        except OSError as error:
            raise UserError(f"{path}: cannot be moved to {target} ({error.strerror})") from None


def _take_out(path: Path, target: Path) -> None:
    pack = path.parent
    config, stats = load_result(path)
    write_atomically(target / path.name, json_text({"config": config, "stats": stats}).encode())
    lines = lines_of(pack)
    del lines[path.stem]
    if lines:
        write_atomically(pack, packed(lines, in_order))
    else:
        pack.unlink()
