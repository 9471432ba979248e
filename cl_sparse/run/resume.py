"""Going on with a run from what was saved of it."""

from collections.abc import Callable
from pathlib import Path

from cl_sparse.run.checkpoint import DamagedError, one_before
from cl_sparse.run.one_run import Run


def can_resume(checkpoint: Path) -> bool:
    """Return whether anything is there to go on from."""
    return checkpoint.exists() or one_before(checkpoint).exists()


def resume(run: Run, checkpoint: Path, say: Callable[[str], object] = lambda _: None) -> None:
    """Take up where the checkpoint left off or, if it is damaged, the one before it.

    Args:
        run: not begun.
        checkpoint: need not exist itself, if the one before it does.
        say: told what was damaged.

    Raises:
        UserError: both are damaged, or the first readable one is another run's.
    """
    damage: DamagedError | None = None
    for path in (path for path in (checkpoint, one_before(checkpoint)) if path.exists()):
        try:
            run.resume(path)
        except DamagedError as error:
            damage = damage or error
        else:
            if damage is not None:
                say(f"{checkpoint}: is damaged, going on from the one before")
            return
    if damage is not None:
        raise damage
