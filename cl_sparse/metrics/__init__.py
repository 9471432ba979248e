"""Pure functions of the accuracy matrix and of recorded counts. NumPy only."""

from cl_sparse.metrics.accuracy import (
    average_accuracy,
    average_incremental_accuracy,
    backward_transfer,
    forgetting,
    forward_transfer,
    learning_accuracy,
    summary,
)
from cl_sparse.metrics.calibration import calibration_error
from cl_sparse.metrics.overlap import unit_overlap
from cl_sparse.metrics.seeds import MeanStd, mean_std
from cl_sparse.metrics.sparsity import (
    binary_entropy,
    dead_share,
    duty_cycle_entropy,
    max_duty_cycle_entropy,
)
from cl_sparse.metrics.squares import is_square, square_means

__all__ = [
    "MeanStd",
    "average_accuracy",
    "average_incremental_accuracy",
    "backward_transfer",
    "binary_entropy",
    "calibration_error",
    "dead_share",
    "duty_cycle_entropy",
    "forgetting",
    "forward_transfer",
    "is_square",
    "learning_accuracy",
    "max_duty_cycle_entropy",
    "mean_std",
    "square_means",
    "summary",
    "unit_overlap",
]
