"""Drifting Add10: a function of ten inputs that moves, task by task, from five of them to the other five."""

from typing import Annotated, Unpack

from pydantic import Field
from torch import Tensor

from benchmarks.base import DataOptions, check_stream
from benchmarks.regression import RegressionBenchmark
from cl_sparse.data.add10 import add10_signal, load_add10
from cl_sparse.data.image_data import fingerprint
from cl_sparse.seeding import derive_seed


class DriftingAdd10(RegressionBenchmark):
    """Friedman's first function (1991) of ten inputs, five of which count, changing which they are.

    In task t of T the target is (1 − α)·f(x₁, …, x₁₀) + α·f(x₁₀, …, x₁) + noise, α = drift · t/(T − 1): with a drift of
    1 the last task's target depends on the inputs alone that did not count in the first one's. Each task has samples
    of its own. One task is plain Add10. The noise's variance is the least mean squared error there is. See
    ``RegressionBenchmark`` for what the accuracy matrix holds.

    Args:
        n_tasks: number of tasks.
        scenario: "domain".
        samples: training samples of a task.
        test_samples: test samples of a task.
        drift: α of the last task.
        noise: standard deviation of the noise.
        options: what all benchmarks share, see ``DataOptions``.

    Raises:
        UserError: another scenario, fewer than one task, or an option that is for images.
    """

    def __init__(
        self,
        n_tasks: int = 5,
        *,
        scenario: str = "domain",
        samples: Annotated[int, Field(ge=10, le=10**7, description="Training samples of a task.")] = 1000,
        test_samples: Annotated[int, Field(ge=10, le=10**7, description="Test samples of a task.")] = 2000,
        drift: Annotated[float, Field(ge=0, le=1, description="Share of the other inputs in the last task.")] = 1.0,
        noise: Annotated[float, Field(ge=0, description="Standard deviation of the targets' noise.")] = 1.0,
        **options: Unpack[DataOptions],
    ) -> None:
        check_stream("DriftingAdd10", scenario, ("domain",), n_tasks, options)
        seed = options.get("seed", 0)

        def tasks(split: str, n: int) -> list[tuple[Tensor, Tensor]]:
            return [
                _moved(load_add10(n, derive_seed(seed, f"add10 {split}", task) % 2**32, noise), task, n_tasks, drift)
                for task in range(n_tasks)
            ]

        super().__init__(
            tasks("train", samples),
            tasks("test", test_samples),
            name="drifting_add10",
            dataset="add10",
            source="scikit-learn make_friedman1",
            options=options,
            fingerprint=fingerprint(load_add10(100)),
            settings={"samples_per_task": samples, "drift": drift, "noise": noise},
        )


def _moved(data: tuple[Tensor, Tensor], task: int, n_tasks: int, drift: float) -> tuple[Tensor, Tensor]:
    x, y = data
    share = drift * task / max(1, n_tasks - 1)
    return x, y + share * (add10_signal(x.flip(1)) - add10_signal(x))
