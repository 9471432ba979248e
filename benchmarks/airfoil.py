"""Airfoil: how loud an airfoil is, from a file of the user's."""

from pathlib import Path
from typing import Unpack

from benchmarks.base import DataOptions, check_stream
from benchmarks.regression import RegressionBenchmark
from cl_sparse.data.airfoil import load_airfoil


class Airfoil(RegressionBenchmark):
    """UCI's "Airfoil Self-Noise" as one task: five inputs, the sound pressure in dB (Brooks, Pope and Marcolini 1989).

    Tested on the blades of chord .1016 m, 263 of 1503 rows, of which none is trained on. The file is not ours to ship,
    see ``load_airfoil``, and ``RegressionBenchmark`` for what the accuracy matrix holds.

    Args:
        n_tasks: 1.
        scenario: "domain".
        options: what all benchmarks share, see ``DataOptions``.

    Raises:
        UserError: the file is absent or damaged; another scenario, more than one task, or an option that is for images.
    """

    def __init__(self, n_tasks: int = 1, *, scenario: str = "domain", **options: Unpack[DataOptions]) -> None:
        check_stream("Airfoil", scenario, ("domain",), n_tasks, options, most_tasks=1)
        root = options.get("data_root")
        train, test = load_airfoil(None if root is None else Path(root))
        super().__init__([train], [test], name="airfoil", dataset="airfoil", source="file", options=options)
