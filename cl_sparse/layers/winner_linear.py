"""A linear layer for k-winners to follow, in which only what wins is written down and has gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cl_sparse.kernels.arrays import Array, Entries, Found, array
from cl_sparse.layers.active_linear import (
    ActiveLinear,
    active,
    active_product,
    gives_sparse,
    grad_of_inputs,
    grad_of_weight,
    linear_arrays,
)
from cl_sparse.layers.pre_activations import Best, PreActivations
from cl_sparse.layers.winners import Winners

# Up to this share of entries that are not background, skipping the background beats a dense product (measured).
_MOST_FOREGROUND = 0.35
# Up to so many winners, looking for them in every tile of units beats writing all pre-activations down (measured).
_FEW_WINNERS = 32


class WinnerLinear(ActiveLinear):
    """An ``nn.Linear`` that is followed by :class:`CompactKWinners`: gradients are computed for the winners only.

    The input is dense (B, in_features), of which a constant background is skipped, or :class:`Winners`. The output is
    :class:`PreActivations`, of which only k-winners can make use. On devices and types without compiled loops the
    layer is an ``nn.Linear``.
    """

    def forward(self, x: Tensor | Winners) -> Any:
        """Return the pre-activations of a batch."""
        values = x.values if isinstance(x, Winners) else x
        if not self._compiles(values, x.shape[-1]):
            return super().forward(x)
        self.current_weight(x.indices if isinstance(x, Winners) else None)
        return _PreActivations(self, x)


@dataclass(frozen=True)
class _PreActivations(PreActivations):
    layer: WinnerLinear
    inputs: Tensor | Winners

    @property
    def shape(self) -> torch.Size:
        return torch.Size((self.inputs.shape[0], self.layer.out_features))

    def dense(self) -> Tensor:
        weight, bias = self.layer.stored_weight(), self.layer.bias
        with torch.no_grad():
            if isinstance(self.inputs, Winners):
                return active_product(self.inputs.values, weight, bias, self.inputs.indices)
            return nn.functional.linear(self.inputs, weight, bias)

    def search(self, k: int, factor: Tensor, break_ties: bool) -> Best | None:  # noqa: ARG002 (it cannot tell who ties)
        if not 0 < k < self.shape[1] or not len(self):
            return None
        weight = self.layer.stored_weight()
        indices, values = torch.empty(len(self), k, dtype=torch.long), weight.new_empty(len(self), k)
        best = indices, values, torch.empty_like(factor)
        return best if self._find(array(factor), Found(*map(array, best))) else None

    def _find(self, factor: Array, found: Found) -> bool:
        """Write what is found; return False if there are ties, or what is not finite."""
        from cl_sparse.kernels import background, winner_search
        from cl_sparse.kernels.threads import use_torch_threads

        linear, threads = linear_arrays(self.layer.stored_weight(), self.layer.bias), use_torch_threads()
        if isinstance(self.inputs, Winners):
            return bool(winner_search.search_among_active(threads, active(self.inputs), linear, factor, found))
        foreground = _foreground(self.inputs)
        if foreground is not None and found.winners.shape[1] <= _FEW_WINNERS:
            return bool(background.search_over_background(threads, foreground, linear, factor, found))
        if foreground is None:
            z = array(self.dense())
        else:
            z = np.empty(self.shape, linear.weight.dtype)
            background.product(foreground, linear, z)
        return bool(winner_search.search(threads, z, factor, found))

    def with_gradient(self, indices: Tensor, values: Tensor) -> Tensor:
        dense = self.inputs if isinstance(self.inputs, Tensor) else self.inputs.values
        among = None if isinstance(self.inputs, Tensor) else self.inputs.indices
        apply: Callable[..., Tensor] = _WinnerValues.apply
        return apply(dense, self.layer.stored_weight(), self.layer.bias, values, indices, among)


def _foreground(x: Tensor) -> Entries | None:
    """Return the entries of x (B, n) off its background level, or None if skipping the others does not pay."""
    from cl_sparse.kernels.background import compress

    x = x.contiguous()
    if not x.numel():
        return None
    level, most = array(x).min(), int(_MOST_FOREGROUND * x.numel())
    ends, columns = np.empty(len(x) + 1, np.int64), np.empty(most, np.int64)
    entries = Entries(ends, columns, np.empty(most, level.dtype), level)
    return entries if compress(array(x), entries) else None


class _WinnerValues(torch.autograd.Function):
    """The pre-activations of the winners, as a function of input, weight and bias."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, _bias: Tensor | None, values: Tensor, indices: Tensor, among: Any
    ) -> Tensor:
        ctx.save_for_backward(x, weight, indices, *(() if among is None else (among,)))
        ctx.sparse = gives_sparse(weight)
        return values

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from cl_sparse.kernels import winners as kernels

        x, weight, indices, *among = ctx.saved_tensors
        grad = grads[0].contiguous()
        for_x = for_weight = for_bias = None
        if ctx.needs_input_grad[0]:
            full = Winners(indices, grad, weight.shape[0])
            for_x = grad_of_inputs(among[0], indices, grad, weight) if among else full.dense() @ weight
        if ctx.needs_input_grad[1]:
            if among:
                for_weight = grad_of_weight(among[0], x, indices, grad, weight, ctx.sparse)
            else:
                for_weight = _grad_of_units(x, indices, grad, weight, ctx.sparse)
        if ctx.needs_input_grad[2]:
            for_bias = grad.new_empty(weight.shape[0])
            kernels.add_up(array(indices), array(grad), array(for_bias))
        return for_x, for_weight, for_bias, None, None, None


def _grad_of_units(x: Tensor, indices: Tensor, grad: Tensor, weight: Tensor, sparse: bool) -> Tensor:
    """Return the weight's gradient for dense inputs: sparse in the units, if it may be, or dense."""
    from cl_sparse.kernels import winners as kernels

    if not sparse:
        return (x.t() @ Winners(indices, grad, weight.shape[0]).dense()).t()
    units, ends, order = kernels.group(array(indices), array(grad), weight.shape[0])
    out = x.new_empty(len(units), x.shape[1])
    kernels.use_torch_threads()
    kernels.unit_gradients(array(x.contiguous()), array(grad), ends, order, array(out))
    return torch.sparse_coo_tensor(torch.from_numpy(units)[None], out, weight.shape, check_invariants=False)
