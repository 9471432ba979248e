"""In which numbers a net multiplies in training, and which nets can do so."""

from typing import Any, Literal, get_args

import torch
from torch import nn

from cl_sparse.layers import ActiveLinear, SparseLinear
from cl_sparse.models.fixed import FixedNet

Precision = Literal["float32", "bf16"]


def check_precision(model: nn.Module, precision: Any) -> None:
    """Refuse what would fail in the first step, or would be computed in other numbers than was asked for.

    Args:
        model: the net.
        precision: one of :data:`Precision`.

    Raises:
        ValueError: it is none; or ``"bf16"``, and nothing is trained, a layer has loops of its own in float32, or
            weights are of another type.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision must be float32 or bf16, not {precision!r}")
    if precision == "float32":
        return
    if isinstance(model, FixedNet):
        raise ValueError("bf16 is for nets that are trained, fixed features take no step: choose precision float32")
    for name, module in model.named_modules():
        if isinstance(module, ActiveLinear | SparseLinear):
            raise ValueError(
                f"bf16: {name}, a {type(module).__name__}, computes in float32 alone: choose precision float32, or a "
                "net with weights masked and compute reference"
            )
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            raise ValueError(f"bf16 is for weights in float32, and {name} is in {parameter.dtype}")
