"""Rows that wait, of a weight whose synapses each have a factor on their updates."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cl_sparse.kernels.arrays import array
from cl_sparse.layers.active_linear import InputMajorWeight
from cl_sparse.synapses.lazy_rows import StepRule, WeightRows

if TYPE_CHECKING:
    from cl_sparse.kernels.scaled_rows import ScaledState

FRACTIONAL = (
    "LazySGD scales updates by factors other than 0 and 1 only without weight decay: set it to 0, or train with "
    "another optimizer"
)


class ScaledRows(WeightRows):
    """As :class:`WeightRows`, with w ← w + s·(step(w) − w) in place of each step; the momentum is not scaled.

    n steps without gradient are, for the state (w, v), the matrix P₀ⁿ + s·(P₁ⁿ − P₀ⁿ), with P₁ a step and P₀ one that
    leaves w alone: exactly if nothing decays, or if s is 0 or 1.

    Args:
        weight: the weight.
        momentum: its momentum, or None.
        rule: the steps' numbers.
        scale: s, in the shape and memory layout of the weight.

    Raises:
        ValueError: with weight decay, for an s that is neither 0 nor 1.
    """

    def __init__(self, weight: InputMajorWeight, momentum: Tensor | None, rule: StepRule, scale: Tensor) -> None:
        super().__init__(weight, momentum, rule)
        if rule.weight_decay and not bool(((scale == 0) | (scale == 1)).all()):
            raise ValueError(FRACTIONAL)
        self.scale = scale

    def _advance(self, wanted: NDArray[np.int64]) -> None:
        from cl_sparse.kernels import scaled_rows as kernels

        kernels.use_torch_threads()
        kernels.advance(wanted, self._clock, self._now, self._both_tables(self._now), self._scaled_state())

    def _add_entries(self, units: NDArray[Any], inputs: NDArray[Any], grads: NDArray[Any], early: bool) -> None:
        from cl_sparse.kernels import scaled_rows as kernels

        moving, staying = (self._early_kick, self._early_kick_staying) if early else (self.rule.kick(), _STAYS)
        kick = np.concatenate([moving, staying])
        state = self._scaled_state()
        kernels.add_entries(units, inputs, _finite_where_frozen(grads, state.scale, inputs, units), state, kick)

    def _step_rows(self, units: NDArray[Any], grads: NDArray[Any]) -> None:
        from cl_sparse.kernels import scaled_rows as kernels

        kernels.use_torch_threads()
        table, state = self._both_tables(self._now + 1), self._scaled_state()
        grads = _finite_where_frozen(grads.T, state.scale, slice(None), units).T
        kernels.step_rows(self._clock, self._now, table, state, units, grads, self.rule.kick())

    def _scaled_state(self) -> "ScaledState":
        from cl_sparse.kernels.scaled_rows import ScaledState

        return ScaledState(*self._state(), array(self.scale.t()))

    @cached_property
    def _early_kick_staying(self) -> NDArray[Any]:
        staying: NDArray[Any] = np.linalg.solve(self._matrix_staying, _STAYS)
        return staying

    @cached_property
    def _matrix_staying(self) -> NDArray[np.float64]:
        return np.array([[1.0, 0.0], self._matrix()[1]])

    def _both_tables(self, steps: int) -> NDArray[np.float64]:
        """Return the powers of both matrices, at least up to the ``steps``-th, (n, 8)."""
        moving = self._table(steps)
        if len(self._tables) < len(moving):
            powers = [np.eye(2)]
            for _ in range(len(moving) - 1):
                powers.append(powers[-1] @ self._matrix_staying)
            self._tables = np.concatenate([moving, np.reshape(powers, (-1, 4))], axis=1)
        return self._tables

    _tables = np.empty((0, 8))


def _finite_where_frozen(grads: NDArray[Any], scale: NDArray[Any], inputs: Any, units: Any) -> NDArray[Any]:
    """Return gradients with 0 for frozen synapses, if any is not finite: 0·∞ would move what is to stay."""
    with np.errstate(all="ignore"):
        finite = np.isfinite(grads.sum())
    return grads if finite else np.where(scale[inputs, units] == 0, grads.dtype.type(0), grads)


_STAYS = np.array([0.0, 1.0])  # what a gradient of 1 adds to (w, v) of a synapse that stays


def rows_of(weight: InputMajorWeight, momentum: Tensor | None, rule: StepRule, scale: Tensor | None) -> WeightRows:
    """Return the weight's rows, with or without a scale."""
    if scale is None:
        return WeightRows(weight, momentum, rule)
    return ScaledRows(weight, momentum, rule, scale)
