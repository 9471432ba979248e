"""784-4000-4000-10, 5 % winners, 5 % of the weights: live synapses only, beside masks, dense nets and torch.sparse."""

from collections.abc import Callable

import torch
from torch import nn

from cl_sparse.layers import KWinners
from cl_sparse.layers.sparse_linear import SparseLinear
from perf.floor import floor_seconds
from perf.sparse_nets import BATCH, CLASSES, DENSE, INPUTS, MASKED, NETS, Shape, inference, training_step
from perf.timing import Timing, interleave, ratio

SHARE = 0.05  # of winners and of weights
INFERENCE_FACTORS = (1.0, 1.5)  # 5 % of the units on at inference too; nupic.torch's default
SHAPE = Shape(4000, round(SHARE * INPUTS), round(SHARE * 4000), round(SHARE * 4000))


def run(rounds: int = 15) -> list[dict[str, object]]:
    """Return ratios to dense ReLU and to the reference, for a training step and for inference."""
    torch.manual_seed(0)
    x, y = torch.randn(BATCH, INPUTS), torch.randint(CLASSES, (BATCH,))
    steps = {name: training_step(name, make(SHAPE), x, y) for name, make in NETS.items()}
    rows = rows_of("training step", interleave(steps, rounds, warm_up=2), floor_seconds(SHAPE, training=True))
    for factor in INFERENCE_FACTORS:
        passes = {name: inference(with_inference_factor(make(SHAPE), factor), x) for name, make in NETS.items()}
        case, floor = f"inference, k_inference_factor {factor:g}", floor_seconds(SHAPE, training=False, factor=factor)
        rows += rows_of(case, interleave(passes, rounds, warm_up=2), floor)
    return rows


def with_inference_factor(model: nn.Module, factor: float) -> nn.Module:
    """Let ``factor`` times as many units win in evaluation mode; returns the model."""
    for module in model.modules():
        if isinstance(module, KWinners):
            module.k_inference = round(factor * module.k)
    return model


def rows_of(case: str, timings: dict[str, Timing], floor: float) -> list[dict[str, object]]:
    return [
        {
            "case": case,
            "contender": name,
            "ms": round(1e3 * timing.median, 2),
            "best ms": round(1e3 * min(timing.seconds), 2),
            "faster than reference": round(ratio(timings, MASKED, name), 2),
            "faster than dense": round(ratio(timings, DENSE, name), 2),
            "floor ms": round(1e3 * floor, 2),
            "times the floor": round(timing.median / floor, 1),
        }
        for name, timing in timings.items()
    ]


def loops(rounds: int = 15) -> list[dict[str, object]]:
    """Return, for one 4000 × 4000 layer forward and back, the time of each kind of loop, and of nn.Linear.

    It sets ``FEW_ON``: the share of non-zero inputs up to which the loops over what is on are used.
    """
    torch.manual_seed(0)
    width = SHAPE.width
    rows: list[dict[str, object]] = []
    for density in (0.01, 0.05, 0.2):
        for on in (0.005, 0.05, 0.1, 0.2, 1.0):
            x = torch.randn(BATCH, width) * (torch.rand(BATCH, width) < on)
            grad = torch.randn(BATCH, width) * (torch.rand(BATCH, width) < min(on, SHARE))
            layers: dict[str, nn.Module] = {
                "along the batch": SparseLinear(width, width, density=density, inputs="winners", method="dense"),
                "over what is on": SparseLinear(width, width, density=density, inputs="winners", method="active"),
                "nn.Linear": nn.Linear(width, width),
            }
            timings = interleave({name: both_passes(layer, x, grad) for name, layer in layers.items()}, rounds)
            ms = {f"{name}, ms": round(1e3 * timing.median, 2) for name, timing in timings.items()}
            rows.append({"density": density, "inputs that are on": on, **ms})
    return rows


def both_passes(layer: nn.Module, x: torch.Tensor, grad: torch.Tensor) -> Callable[[], None]:
    """Return a forward and backward pass with a given gradient of the outputs."""
    x = x.clone().requires_grad_()

    def both() -> None:
        layer.zero_grad()
        x.grad = None
        torch.autograd.backward(layer(x), grad)

    return both
