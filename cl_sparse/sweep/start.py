"""Starts a sweep: the first thing it does is to say so in its folder. No torch, whose import takes seconds."""

from contextlib import suppress

from cl_sparse.errors import UserError
from cl_sparse.results import prepare_results_dir
from cl_sparse.sweep.manifest import VERSION, Manifest, sole_sweep
from cl_sparse.sweep.plan import SweepPlan


def start(plan: SweepPlan) -> int:
    """Carry out a sweep; return the process's exit code: as :func:`cl_sparse.sweep.session.run`.

    Raises:
        UserError: if anything the user gave cannot work, or another sweep is at work in the folder.
    """
    folder = prepare_results_dir(plan.place.results_dir)
    with sole_sweep(folder):
        manifest = Manifest(folder)
        manifest.note("plan", sweep=plan.sweep.name, version=VERSION, planned=plan.trials(), jobs=plan.jobs)
        from cl_sparse.sweep.session import run

        try:
            return run(plan, manifest)
        except UserError as error:
            with suppress(UserError):
                manifest.note("end", line=f"ended by an error: {error}")
            raise
