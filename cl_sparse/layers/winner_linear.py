"""Linear layer and k-winners as one computation, in which only the winners are written down and have gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from cl_sparse.kernels.arrays import Array, array
from cl_sparse.layers import functional
from cl_sparse.layers.active_linear import (
    ActiveLinear,
    InputMajorWeight,
    active_product,
    bias_array,
    grad_of_inputs,
    grad_of_weight,
    rows,
)
from cl_sparse.layers.k_winners import KWinners
from cl_sparse.layers.winners import Winners

# Up to this share of entries that are not background, skipping the background beats a dense product (measured).
_MOST_FOREGROUND = 0.35
# Up to so many winners, looking for them in every tile of units beats writing all pre-activations down (measured).
_FEW_WINNERS = 32


@dataclass(frozen=True)
class PreActivations:
    """The pre-activations (B, n) of a :class:`WinnerLinear`, of which as a rule only the winners are written down.

    Attributes:
        layer: the layer they come from.
        inputs: its input.
    """

    layer: "WinnerLinear"
    inputs: Tensor | Winners

    def __len__(self) -> int:
        return self.inputs.shape[0]

    @property
    def dtype(self) -> torch.dtype:
        """Their floating type, that of the weights."""
        return self.layer.stored_weight().dtype

    def dense(self) -> Tensor:
        """Return all of them (B, n), without gradient."""
        weight, bias = self.layer.stored_weight(), self.layer.bias
        with torch.no_grad():
            if isinstance(self.inputs, Winners):
                return active_product(self.inputs.values, weight, bias, self.inputs.indices)
            return nn.functional.linear(self.inputs, weight, bias)

    def search(self, factor: Tensor, winners: Tensor, values: Tensor, on_rate: Tensor) -> bool:
        """Find the k units of each sample with the largest pre-activation · factor (n,).

        Args:
            factor: (n,) what to multiply by.
            winners: (B, k) receives the units.
            values: (B, k) receives their pre-activations.
            on_rate: (n,) receives the share of the samples that each unit is a positive winner of.

        Returns:
            False if there are ties, or what is not finite; the tensors are then of no use.
        """
        from cl_sparse.kernels import background
        from cl_sparse.kernels import winner_search as rows_search
        from cl_sparse.kernels.threads import use_torch_threads

        found = array(factor), array(winners), array(values), array(on_rate)
        weight = rows(self.layer.stored_weight())
        linear = weight, bias_array(self.layer.bias, weight)
        threads = use_torch_threads()
        if isinstance(self.inputs, Winners):
            active = array(self.inputs.indices), array(self.inputs.values)
            return bool(rows_search.search_among_active(threads, *active, *linear, *found))
        foreground = _foreground(self.inputs)
        if foreground is not None and winners.shape[1] <= _FEW_WINNERS:
            return bool(background.search_over_background(threads, *foreground, *linear, *found))
        if foreground is None:
            z = array(self.dense())
        else:
            z = np.empty((len(self), len(on_rate)), weight.dtype)
            background.product(*foreground, *linear, z)
        return bool(rows_search.search(threads, z, *found))

    def with_gradient(self, indices: Tensor, values: Tensor) -> Tensor:
        """Return the pre-activations ``values`` of the units ``indices`` (B, k; -1 stands for none), with gradient."""
        dense = self.inputs if isinstance(self.inputs, Tensor) else self.inputs.values
        among = None if isinstance(self.inputs, Tensor) else self.inputs.indices
        weight = self.layer.stored_weight()
        apply: Callable[..., Tensor] = _WinnerValues.apply
        return apply(dense, weight, self.layer.bias, values, indices, among)


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
        return PreActivations(self, x)


class CompactKWinners(KWinners):
    """:class:`KWinners` that gives :class:`Winners` for the :class:`PreActivations` of a :class:`WinnerLinear`.

    Winners, duty cycle and gradients are those of :class:`KWinners`; a dense tensor gives a dense tensor.
    """

    @classmethod
    def of(cls, layer: KWinners) -> Self:
        """Return a layer with the settings of ``layer``, in the state of a new one."""
        return cls(
            layer.n,
            layer.percent_on,
            k_inference_factor=layer.k_inference_factor,
            boost_strength=float(layer.boost_strength),
            boost_strength_factor=layer.boost_strength_factor,
            duty_cycle_period=layer.duty_cycle_period,
            break_ties=layer.break_ties,
            relu=layer.relu,
            inplace=layer.inplace,
        )

    def forward(self, x: Any) -> Any:
        """Keep the winners of each sample; in training, update the duty cycle as well."""
        if not isinstance(x, PreActivations):
            return super().forward(x)
        k = self.k if self.training else self.k_inference
        indices, values, on_rate = self._select(x, k)
        values = x.with_gradient(indices, values)
        if self.relu:
            indices = torch.where(values > 0, indices, -1)
            values = values.relu()
        if self.training and len(x):
            self._move_duty_cycle(on_rate, len(x))
        return Winners(indices, values, self.n)

    def _select(self, x: PreActivations, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the winners (B, k or, with ties, more), their values, and the share of samples a unit is on for."""
        if 0 < k < self.n and len(x):
            indices, values = torch.empty(len(x), k, dtype=torch.long), torch.empty(len(x), k, dtype=x.dtype)
            on_rate = torch.empty_like(self.duty_cycle)
            # The same numbers as functional.boosted makes, so that near ties fall alike.
            if x.search(torch.exp(-self.boost_strength * self.duty_cycle), indices, values, on_rate):
                return indices, values, on_rate
        z = x.dense()
        indices = _all_winners(functional.boosted(z, self.duty_cycle, self.boost_strength), k, self.break_ties)
        values = z.gather(1, indices.clamp(min=0)).masked_fill_(indices < 0, 0)
        return indices, values, Winners(indices, values, self.n).on_counts().to(self.duty_cycle.dtype) / len(x)


class CompactDropout(nn.Dropout):
    """Dropout of :class:`Winners`: each one is dropped with probability p, the others are scaled by 1/(1 − p).

    As for a dense tensor, whose other entries are 0 either way, but random numbers are drawn for the winners only.
    """

    def forward(self, x: Any) -> Any:
        """Drop winners in training; a dense tensor is treated as by ``nn.Dropout``."""
        if not isinstance(x, Winners):
            return super().forward(x)
        if not self.training or self.p == 0:
            return x
        kept = torch.rand(x.values.shape, dtype=x.values.dtype) >= self.p
        return Winners(torch.where(kept, x.indices, -1), x.values * (kept / (1 - self.p)), x.n)


def _all_winners(ranking: Tensor, k: int, break_ties: bool) -> Tensor:
    """Return all units that tie with the k-th best, or pass because something is not a number; -1 fills up."""
    best = ranking.topk(k, dim=1)
    if break_ties or not 0 < k < ranking.shape[1] or not len(ranking):
        return best.indices
    on = ~(ranking < best.values[:, k - 1 :])
    most = int(on.sum(1).max())
    indices = on.int().topk(most, dim=1).indices
    return torch.where(on.gather(1, indices), indices, -1)


def _foreground(x: Tensor) -> tuple[Array, Array, Array, np.floating[Any]] | None:
    """Return the entries of x (B, n) that are not at its background level, or None if skipping the others does not pay.

    Returns:
        Where each sample's entries end (B + 1,), their columns and values (less the level) in a row, and the level.
    """
    from cl_sparse.kernels.background import compress

    x = x.contiguous()
    if not x.numel():
        return None
    level, most = array(x).min(), int(_MOST_FOREGROUND * x.numel())
    ends, columns, values = np.empty(len(x) + 1, np.int64), np.empty(most, np.int64), np.empty(most, level.dtype)
    return (ends, columns, values, level) if compress(array(x), level, ends, columns, values) else None


class _WinnerValues(torch.autograd.Function):
    """The pre-activations of the winners, as a function of input, weight and bias."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: InputMajorWeight, _bias: Tensor | None, values: Tensor, indices: Tensor, among: Any
    ) -> Tensor:
        ctx.save_for_backward(x, weight, indices, *(() if among is None else (among,)))
        ctx.lazy = weight.lazy_rows is not None
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
                for_weight = grad_of_weight(among[0], x, indices, grad, weight, ctx.lazy)
            else:
                for_weight = _grad_of_units(x, indices, grad, weight, ctx.lazy)
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
