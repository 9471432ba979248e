"""A truly sparse linear layer for k-winners to follow, which never holds a (B, units) array."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cl_sparse.layers.layout import Layout
from cl_sparse.layers.pre_activations import Best, PreActivations
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.layers.winners import Winners


class SparseWinnerLinear(SparseLinear):
    """A :class:`SparseLinear` that is followed by :class:`CompactKWinners`, which finds the winners while it computes.

    Given what its ``inputs`` promise — a dense tensor (B, inputs), or :class:`Winners` — it returns
    :class:`PreActivations`, of which only k-winners can make use. Otherwise, on devices and types without compiled
    loops, and with a method other than "auto", it is a :class:`SparseLinear`.

    No (B, units) array is held, unless k-winners without ``break_ties`` meet a tie, or exclude units, or something is
    not a number. A unit without live inputs and without bias is 0 always: with many of these, ask for ``break_ties``.
    """

    def forward(self, x: Any) -> Any:
        """Return the pre-activations, pending where that is possible."""
        streams = isinstance(x, Winners) == (self.inputs == "winners") and self.method == "auto"
        of_x = x.values if isinstance(x, Winners) else x
        kinds = of_x.dtype == self.values.dtype and of_x.dtype in (torch.float32, torch.float64)
        if streams and kinds and of_x.dim() == 2 and of_x.device.type == "cpu" and x.shape[1] == self.in_features:
            return _PreActivations(self, x)
        return super().forward(x)


@dataclass(frozen=True)
class _PreActivations(PreActivations):
    layer: SparseWinnerLinear
    inputs: Tensor | Winners

    @property
    def shape(self) -> torch.Size:
        return torch.Size((self.inputs.shape[0], self.layer.out_features))

    def dense(self) -> Tensor:
        with torch.no_grad():
            return SparseLinear.forward(self.layer, self.inputs)

    def search(self, k: int, factor: Tensor, break_ties: bool) -> Best | None:
        from cl_sparse.layers import sparse_loops as loops

        layer, (x, ids) = self.layer, self._inputs()
        factor_of_values = factor.to(layer.values.dtype)
        layer.layout.used["forward"] = "streamed"
        return loops.streamed(layer.layout, layer.values, self._bias(), x, ids, factor_of_values, k, break_ties)

    def with_gradient(self, indices: Tensor, values: Tensor) -> Tensor:
        x, ids = self._inputs()
        return winner_values(x, self.layer.values, self._bias(), values, indices, ids, self.layer.layout)

    def _inputs(self) -> tuple[Tensor, Tensor | None]:
        return (self.inputs, None) if isinstance(self.inputs, Tensor) else (self.inputs.values, self.inputs.indices)

    def _bias(self) -> Tensor:
        return self.layer.values.new_zeros(self.shape[1]) if self.layer.bias is None else self.layer.bias


class _LiveWinnerValues(torch.autograd.Function):
    """The pre-activations of the winners, as a function of inputs, live values and bias."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        values: Tensor,
        _bias: Tensor,
        winning: Tensor,
        on: Tensor,
        ids: Tensor | None,
        layout: Layout,
    ) -> Tensor:
        ctx.layout = layout
        ctx.save_for_backward(x, values, on, *(() if ids is None else (ids,)))
        return winning

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from cl_sparse.layers import sparse_loops as loops

        x, values, on, *ids = ctx.saved_tensors
        layout: Layout = ctx.layout
        layout.used["backward"] = "streamed"
        grad = grad.contiguous()
        of_x = None
        if ids:
            of_values, of_x = loops.outer(layout, values, (ids[0], x), minors_on=(on, grad))
        else:
            of_values, _unused = loops.outer(layout, values, (on, grad), x)
            if ctx.needs_input_grad[0]:
                of_x = loops.scatter(layout, values, on, grad)
        of_bias = loops.added_up(on, grad, layout.shape[0 if layout.by_units else 1])
        return of_x, of_values, of_bias, None, None, None, None


winner_values: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None, Layout], Tensor]
winner_values = _LiveWinnerValues.apply
