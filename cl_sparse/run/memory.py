"""Whether what an experiment builds fits into the machine's memory."""

import math
from itertools import pairwise

import psutil

from cl_sparse.config import ExperimentConfig
from cl_sparse.errors import UserError


def check_memory(config: ExperimentConfig, input_shape: tuple[int, ...] | None = None, copies: int = 1) -> None:
    """Refuse a net whose hidden weights alone are more than the machine holds, before the system ends the process.

    Args:
        config: the experiment.
        input_shape: of a sample; None where it is not known yet: the first layer does not count.
        copies: nets in memory together.

    Raises:
        UserError: it does not fit.
    """
    widths = config.effective_widths
    if not config.cnn and input_shape is not None:
        widths = [math.prod(input_shape), *widths]
    density = config.weight_sparsity_fc if config.sparsify and config.weights == "sparse" else 1.0
    needed = round(4 * copies * density * sum(inputs * units for inputs, units in pairwise(widths)))
    remedy = "choose fewer units or layers, or weights sparse with a lower weight_sparsity_fc"
    _refuse(needed, f"{config.place('hidden_units')}: the hidden layers' weights", remedy)


def check_readout_memory(config: ExperimentConfig, name: str, squares: int, features: int) -> None:
    """Refuse a readout whose matrices are more than the machine holds.

    Args:
        config: the experiment.
        name: of the readout.
        squares: matrices (features, features) that it has in memory together.
        features: number of them.

    Raises:
        UserError: it does not fit.
    """
    what = f"{config.name}: plugins: {name}: the sums over {features} features"
    _refuse(4 * squares * features**2, what, "choose fewer filters or units, or readout nearest_mean")


def _refuse(needed: int, what: str, remedy: str) -> None:
    held = psutil.virtual_memory().total
    if needed > held:
        raise UserError(f"{what} need {needed} bytes, and this machine has {held}: {remedy}")
