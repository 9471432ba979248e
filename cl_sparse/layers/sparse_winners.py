"""Truly sparse linear layer and k-winners as one computation, which never holds a (B, units) array."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cl_sparse.layers.functional import boosted
from cl_sparse.layers.k_winners import KWinners
from cl_sparse.layers.layout import Layout
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.layers.winners import Winners


@dataclass(frozen=True)
class Pending:
    """A product that is not computed yet: only the k-winners that follow know what of it is needed.

    Attributes:
        layer: the layer.
        x: its input, dense (B, inputs) for a layer with inputs="any", winners for one with inputs="winners".
    """

    layer: "StreamedSparseLinear"
    x: Tensor | Winners

    @property
    def shape(self) -> torch.Size:
        """Shape of the product, (B, units)."""
        return torch.Size((self.x.shape[0], self.layer.out_features))

    def dense(self) -> Tensor:
        """Return the product."""
        return SparseLinear.forward(self.layer, self.x)

    def winners(self, k: int, factor: Tensor) -> Winners:
        """Return the k units of each sample with the largest product times factor (units,), without gradient to it."""
        layer = self.layer
        values, bias = layer.values, layer.bias if layer.bias is not None else layer.values.new_zeros(self.shape[1])
        of_x, ids = (self.x, None) if isinstance(self.x, Tensor) else (self.x.values, self.x.indices)
        factor = factor.to(values.dtype)
        on, winning = streamed_product(of_x.to(values.dtype), values, bias, ids, factor, k, layer.layout)
        return Winners(on, winning, self.shape[1])


class StreamedSparseLinear(SparseLinear):
    """A :class:`SparseLinear` followed by :class:`StreamedKWinners`, which finds the winners while it computes.

    Given what its ``inputs`` promise — a dense tensor (B, inputs), or :class:`Winners` — it returns a :class:`Pending`
    product, of which only k-winners can make use. Otherwise, on devices and types without compiled loops, and with a
    method other than "auto", it is a :class:`SparseLinear`.
    """

    def forward(self, x: Any) -> Any:
        """Return the product, pending where that is possible."""
        streams = isinstance(x, Winners) == (self.inputs == "winners") and self.method == "auto"
        of_x = x.values if isinstance(x, Winners) else x
        kinds = of_x.dtype == self.values.dtype and of_x.dtype in (torch.float32, torch.float64)
        if streams and kinds and of_x.dim() == 2 and of_x.device.type == "cpu" and x.shape[1] == self.in_features:
            return Pending(self, x)
        return super().forward(x)


class StreamedKWinners(KWinners):
    """:class:`KWinners` that gives :class:`Winners` for the pending product of a :class:`StreamedSparseLinear`.

    There are exactly k of them, as with ``break_ties``. A dense tensor gives a dense tensor.
    """

    def forward(self, x: Any) -> Any:
        """Keep the winners of each sample; in training, update the duty cycle as well."""
        if not isinstance(x, Pending):
            return super().forward(x)
        k = self.k if self.training else self.k_inference
        winners = x.winners(k, boosted(torch.ones_like(self.duty_cycle), self.duty_cycle, self.boost_strength))
        if self.relu:
            on = torch.where(winners.values > 0, winners.indices, -1)
            winners = Winners(on, winners.values.relu(), self.n)
        if self.training and len(winners.indices):
            counts = winners.detach().on_counts().to(self.duty_cycle.dtype)
            self._move_duty_cycle(counts / len(winners.indices), len(winners.indices))
        return winners


class _StreamedProduct(torch.autograd.Function):
    """(inputs, live values, bias) → the winners of each sample, long (B, k), and their values (B, k)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, values: Tensor, bias: Tensor, ids: Tensor | None, factor: Tensor, k: int, layout: Layout
    ) -> tuple[Tensor, Tensor]:
        from cl_sparse.layers import sparse_loops as loops

        layout.used["forward"] = "streamed"
        on, winning = loops.streamed(layout, values, bias, x, ids, factor, k)
        ctx.layout = layout
        ctx.save_for_backward(x, values, on, *(() if ids is None else (ids,)))
        ctx.mark_non_differentiable(on)
        return on, winning

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, _: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
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
        units = layout.shape[0 if layout.by_units else 1]
        of_bias = grad.new_zeros(units).index_add_(0, on.flatten(), grad.flatten())
        return of_x, of_values, of_bias, None, None, None, None


streamed_product: Callable[[Tensor, Tensor, Tensor, Tensor | None, Tensor, int, Layout], tuple[Tensor, Tensor]]
streamed_product = _StreamedProduct.apply
