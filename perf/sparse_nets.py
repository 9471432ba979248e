"""Inputs-W-W-10 with few live synapses, as others would write it and as this package computes it."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cl_sparse.layers import (
    CompactKWinners,
    KWinners,
    SparseWeights,
    SparseWinnerLinear,
    normalize_sparse_weights,
    rezero_weights,
)
from cl_sparse.layers.sparse_linear import Inputs, SparseLinear

INPUTS, CLASSES, BATCH = 784, 10, 128
SGD: dict[str, Any] = {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}
STREAMED, MASKED, DENSE, TORCH = "streamed", "reference masked", "dense ReLU", "torch.sparse"


@dataclass(frozen=True)
class Shape:
    """How large a net is, and how sparse.

    Attributes:
        width: units of each hidden layer.
        first: live inputs of each unit of the first hidden layer.
        second: of the second; 0 for a net without one.
        winners: per sample, of each hidden layer.
        inputs: of the net, all of them on.
    """

    width: int
    first: int
    second: int
    winners: int
    inputs: int = INPUTS

    @property
    def share(self) -> float:
        """Share of winners."""
        return self.winners / self.width

    @property
    def synapses(self) -> int:
        """Live synapses of the hidden layers."""
        return self.width * (self.first + self.second)


class KthValueWinners(KWinners):
    """k-winners as nupic.torch computes them: a search for the k-th value, and a mask."""

    def forward(self, x: Tensor, excluded: Tensor | None = None) -> Tensor:  # noqa: ARG002 (nupic.torch has no such)
        k = self.k if self.training else self.k_inference
        ranks = x.detach() * torch.exp(-self.boost_strength * self.duty_cycle)
        out: Tensor = torch.where(ranks < ranks.kthvalue(self.n - k + 1, dim=1, keepdim=True).values, 0.0, x)
        if self.training:
            self.update_duty_cycle(out)
        return out


class TorchSparseLinear(nn.Module):
    """A sparse layer from torch.sparse as it comes: a COO matrix of the live values, multiplied."""

    def __init__(self, like: SparseLinear) -> None:
        super().__init__()
        self.indices, self.shape = like.indices, (like.out_features, like.in_features)
        self.values, self.bias = nn.Parameter(like.values.detach().clone()), nn.Parameter(torch.zeros(self.shape[0]))

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.sparse_coo_tensor(
            self.indices, self.values, self.shape, check_invariants=False, is_coalesced=True
        )
        product: Tensor = torch.sparse.mm(weight, x.t()).t()
        return product + self.bias


def _masked(n_in: int, n_out: int, fan_in: int, _: Inputs) -> nn.Module:
    layer = SparseWeights(nn.Linear(n_in, n_out), fan_in / n_in, allow_extremes=True)
    normalize_sparse_weights(layer)
    return layer


def _net(
    shape: Shape,
    layer: Callable[[int, int, int, Inputs], nn.Module],
    act: Callable[[], nn.Module],
    head: Callable[[], nn.Module] | None = None,
) -> nn.Sequential:
    """Return the net; ``layer`` is called with inputs, units, live inputs of each unit, and the kind of inputs."""
    modules: OrderedDict[str, nn.Module] = OrderedDict(
        fc1=layer(shape.inputs, shape.width, shape.first, "any"), act1=act()
    )
    if shape.second:
        modules |= OrderedDict(fc2=layer(shape.width, shape.width, shape.second, "winners"), act2=act())
    return nn.Sequential(modules | OrderedDict(head=head() if head else nn.Linear(shape.width, CLASSES)))


def _winners_head(shape: Shape) -> nn.Module:
    return SparseLinear(shape.width, CLASSES, density=1.0, inputs="winners")


def _streamed_layer(n_in: int, n_out: int, fan_in: int, inputs: Inputs) -> nn.Module:
    return SparseWinnerLinear(n_in, n_out, fan_in=fan_in, inputs=inputs)


NETS: dict[str, Callable[[Shape], nn.Sequential]] = {
    MASKED: lambda shape: _net(shape, _masked, lambda: KthValueWinners(shape.width, shape.share)),
    DENSE: lambda shape: _net(shape, lambda i, o, *_: nn.Linear(i, o), nn.ReLU),
    TORCH: lambda shape: _net(
        shape,
        lambda i, o, fan_in, _: TorchSparseLinear(SparseLinear(i, o, fan_in=fan_in)),
        lambda: KWinners(shape.width, shape.share),
    ),
    STREAMED: lambda shape: _net(
        shape, _streamed_layer, lambda: CompactKWinners(shape.width, shape.share), lambda: _winners_head(shape)
    ),
}
"""The contenders by name."""


def training_step(name: str, model: nn.Module, x: Tensor, y: Tensor) -> Callable[[], None]:
    """Return one step of SGD with momentum and weight decay; fused, but for the reference, as its users write it."""
    reference = name == MASKED
    optimizer = torch.optim.SGD(model.parameters(), fused=None if reference else True, **SGD)

    def step() -> None:
        optimizer.zero_grad()
        loss: Tensor = nn.functional.cross_entropy(model(x), y)
        torch.autograd.backward(loss)
        optimizer.step()
        if reference:
            rezero_weights(model)

    return step


def inference(model: nn.Module, x: Tensor) -> Callable[[], None]:
    """Return one forward pass in evaluation mode."""

    def forward() -> None:
        model.eval()
        with torch.no_grad():
            model(x)
        model.train()

    return forward
