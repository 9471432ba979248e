"""Looks at a plan's data before Avalanche is imported, so that nobody waits for that to hear that they are absent."""

from collections.abc import Iterator
from contextlib import contextmanager

from cl_sparse.config import ExperimentConfig, registry
from cl_sparse.errors import SettingError, UserError
from cl_sparse.run.plan import RunPlan


def check_data(plan: RunPlan) -> None:
    """Read the data of every experiment; they stay in memory for the runs.

    Left to later: whether they can be divided into tasks, a benchmark of the user's own, and everything that is
    resumed, since what is finished needs no data.

    Raises:
        UserError: a data set is absent and cannot be downloaded, is damaged, or has too few samples for a subset.
    """
    if plan.place.resume:
        return
    for config in (config for selection in plan.selections for config in selection.configs):
        stream = registry.BENCHMARKS.get(config.effective_benchmark)
        dataset = config.dataset or (stream.dataset if stream else None)
        if stream is None or dataset is None:
            continue
        from cl_sparse.data.datasets import load_data

        with blamed_on(config):
            load_data(
                dataset,
                plan.place.data_root,
                train_subset=config.train_subset,
                test_subset=config.test_subset,
                seed=config.effective_stream_seed(plan.seeds_for(config)[0]),
            )


@contextmanager
def blamed_on(config: ExperimentConfig) -> Iterator[None]:
    """Name the place where a parameter was set that does not fit the data."""
    try:
        yield
    except SettingError as error:
        raise UserError(f"{config.place(error.key)}: {error.problem}") from error
