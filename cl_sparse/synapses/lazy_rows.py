"""A weight some of whose rows wait for updates that follow from a closed form.

A step of SGD without gradient maps weight w and momentum v linearly, v' = μ·v + λ·w and w' = w − η·v' (η learning rate,
μ momentum, λ weight decay), or w' = w − η·(λ·w + μ·v') with Nesterov's momentum. An input that was off for n steps is
brought up to date by the n-th power of that 2×2 matrix, which is exact up to rounding. A gradient g adds (B_w, B_v)·g
to the result of a step, B = (−η or, with Nesterov, −η·(1 + μ); 1).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cl_sparse.kernels.arrays import array
from cl_sparse.layers.active_linear import InputMajorWeight

if TYPE_CHECKING:
    from cl_sparse.kernels.lazy_rows import State

# Below this determinant the inverse of a step is too inaccurate to be used.
_SMALLEST_DETERMINANT = 0.05


@dataclass(frozen=True)
class StepRule:
    """The numbers that decide what a step of SGD does.

    Attributes:
        lr: learning rate η.
        momentum: μ, 0 for none.
        weight_decay: λ.
        nesterov: whether the momentum is Nesterov's.
    """

    lr: float
    momentum: float
    weight_decay: float
    nesterov: bool

    def matrix(self) -> NDArray[np.float64]:
        """Return the 2×2 matrix that a step without gradient applies to (w, v)."""
        lr, mu, decay = self.lr, self.momentum, self.weight_decay
        if self.nesterov:
            return np.array([[1 - lr * decay * (1 + mu), -lr * mu * mu], [decay, mu]])
        return np.array([[1 - lr * decay, -lr * mu], [decay, mu]])

    def kick(self) -> NDArray[np.float64]:
        """Return what a gradient of 1 adds to (w, v) in a step."""
        return np.array([-self.lr * (1 + self.momentum if self.nesterov else 1), 1.0])


class WeightRows:
    """The rows of a weight (one per input), each with the time it is up to date for.

    Args:
        weight: the weight.
        momentum: its momentum, of the same shape and memory layout; None without momentum.
        rule: the steps' numbers.
    """

    def __init__(self, weight: InputMajorWeight, momentum: Tensor | None, rule: StepRule) -> None:
        self.weight = weight
        self.momentum = momentum
        self.rule = rule
        self._clock = np.zeros(weight.shape[1], np.int64)
        self._now = 0
        self._powers = np.array([[1.0, 0.0, 0.0, 1.0]])

    def catch_up(self, inputs: NDArray[np.int64] | None = None) -> None:
        """Bring the weights of ``inputs`` (-1 is skipped), or of all of them, up to date."""
        if not self._now:
            return
        self._advance(np.arange(len(self._clock)) if inputs is None else inputs)
        if inputs is None:
            self._clock[:] = 0
            self._now = 0

    def step_entries(self, units: Tensor, inputs: Tensor, grads: Tensor) -> None:
        """Take a step with a gradient for single weights (a pair may be there several times); other rows wait."""
        wanted = array(inputs)
        early = self._steps_early
        if early:
            # The row waits as well: what is added now becomes the gradient's effect by the step put off.
            self.catch_up(wanted)
            self._now += 1
        else:
            self._now += 1
            self.catch_up(wanted)
        self._add_entries(array(units), wanted, array(grads), early)

    def step_units(self, units: Tensor, grads: Tensor) -> None:
        """Take a step with the gradient ``grads`` (u, inputs) of some units; all rows are up to date afterwards."""
        self._step_rows(array(units), array(grads))
        self._clock[:] = 0
        self._now = 0

    def _advance(self, wanted: NDArray[np.int64]) -> None:
        from cl_sparse.kernels import lazy_rows as kernels

        kernels.use_torch_threads()
        kernels.advance(wanted, self._clock, self._now, self._table(self._now), self._state())

    def _add_entries(self, units: NDArray[Any], inputs: NDArray[Any], grads: NDArray[Any], early: bool) -> None:
        from cl_sparse.kernels import lazy_rows as kernels

        kick = self._early_kick if early else self.rule.kick()
        kernels.add_entries(units, inputs, grads, self._state(), kick)

    def _step_rows(self, units: NDArray[Any], grads: NDArray[Any]) -> None:
        from cl_sparse.kernels import lazy_rows as kernels

        kernels.use_torch_threads()
        table = self._table(self._now + 1)
        kernels.step_rows(self._clock, self._now, table, self._state(), units, grads, self.rule.kick())

    def _state(self) -> "State":
        from cl_sparse.kernels.lazy_rows import State

        weight = array(self.weight.t())
        if self.momentum is None:
            return State(weight, np.empty((len(weight), 0), weight.dtype))
        return State(weight, array(self.momentum.t()))

    @cached_property
    def _steps_early(self) -> bool:
        """Whether the inverse of a step is accurate enough for a gradient to be added before the step."""
        return bool(abs(np.linalg.det(self._matrix())) > _SMALLEST_DETERMINANT)

    @cached_property
    def _early_kick(self) -> NDArray[Any]:
        """What a gradient of 1 adds before a step to have its effect after it."""
        return np.linalg.solve(self._matrix(), self.rule.kick())

    def _matrix(self) -> NDArray[np.float64]:
        matrix = self.rule.matrix()
        if self.momentum is None:
            # There is no v: its part of the matrix must not make the inverse look inaccurate.
            matrix[0, 1] = matrix[1, 0] = 0.0
            matrix[1, 1] = 1.0
        return matrix

    def _table(self, steps: int) -> NDArray[np.float64]:
        """Return the powers of the step's matrix, at least up to the ``steps``-th."""
        while len(self._powers) <= steps:
            known = self._powers.reshape(-1, 2, 2)
            next_power = known[-1] @ self._matrix()
            self._powers = np.concatenate([known, known @ next_power]).reshape(-1, 4)
        return self._powers


def zero_momentum(weight: Tensor) -> Tensor:
    """Return zeros in the shape and memory layout of ``weight``."""
    return torch.zeros_like(weight, memory_format=torch.preserve_format)
