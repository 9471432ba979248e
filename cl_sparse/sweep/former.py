"""Results of former winners: they lie in ``former/``, so that a chosen experiment's name stands for one setting."""

from pathlib import Path

from cl_sparse.config import ExperimentConfig
from cl_sparse.config.identity import differing
from cl_sparse.errors import UserError
from cl_sparse.results import find_results, load_result, move_results

FORMER = "former"


def settle(folder: Path, chosen: ExperimentConfig) -> None:
    """Leave in a folder only the chosen setting's results of that name, with those that it had when it won before.

    Raises:
        UserError: a result of that name cannot be read or moved, or ``former`` leads out of the folder.
    """
    former = folder / FORMER
    if former.is_symlink():
        raise UserError(f"{former}: is a link: remove it")
    move_results([path for path in find_results(folder, chosen.name) if not _is_of(path, chosen)], former)
    if former.is_dir():
        move_results([path for path in find_results(former, chosen.name) if _is_of(path, chosen)], folder)


def _is_of(path: Path, chosen: ExperimentConfig) -> bool:
    return not differing(load_result(path)[0], chosen.identity())
