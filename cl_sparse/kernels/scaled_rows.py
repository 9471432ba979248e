"""The loops of lazy SGD where every synapse has a factor s on its updates; see :mod:`cl_sparse.kernels.lazy_rows`.

A step without gradient multiplies the state (w, v) of a synapse by a matrix M(s). Its n-th power is
P₀ⁿ + s·(P₁ⁿ − P₀ⁿ), with P₁ the matrix of an unscaled step and P₀ that of a synapse that stays, exactly if there is no
weight decay (then w' = w − s·c·v and v' = μ·v) or if s is 0 or 1. ``powers`` (n, 8) holds P₁ⁿ and P₀ⁿ, flattened.
``scale`` (inputs, units) lies in memory like the weight. ``kick`` holds what a gradient of 1 adds: to w and to v at
s = 1, then at s = 0.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, prange

from cl_sparse.kernels.arrays import Array
from cl_sparse.kernels.winners import use_torch_threads

__all__ = ["ScaledState", "add_entries", "advance", "step_rows", "use_torch_threads"]


class ScaledState(NamedTuple):
    """What a step changes, and how much of the change comes through.

    Attributes:
        weight: (inputs, units).
        momentum: (inputs, units), or (inputs, 0) for none.
        scale: (inputs, units).
    """

    weight: Array
    momentum: Array
    scale: Array


_INPUTS = 16  # inputs per block of a step: one cache line of a gradient row


@njit(cache=True, parallel=True, nogil=True, error_model="numpy", fastmath={"contract"})
def advance(wanted: Array, clock: Array, now: int, powers: Array, state: ScaledState) -> None:
    """Bring the rows ``wanted`` (any number of times each; -1 is skipped) of the weight to time ``now``."""
    weight, momentum, scale = state
    due = np.empty(min(wanted.size, clock.size), np.int64)
    steps = np.empty(due.size, np.int64)
    count = 0
    for e in range(wanted.size):
        row = wanted[e]
        if row >= 0 and clock[row] < now:
            due[count], steps[count] = row, now - clock[row]
            clock[row] = now
            count += 1
    for d in prange(count):
        _advance_row(powers[steps[d]], weight[due[d]], momentum[due[d]], scale[due[d]])


@njit(cache=True, parallel=True, nogil=True, error_model="numpy", fastmath={"contract"})
def step_rows(
    clock: Array, now: int, powers: Array, state: ScaledState, units: Array, grads: Array, kick: Array
) -> None:
    """Bring all rows to time ``now`` and take the step from there, with the gradient ``grads`` (u, inputs) of units."""
    weight, momentum, scale = state
    n_in = weight.shape[0]
    kick_w, kick_v = weight.dtype.type(kick[0]), weight.dtype.type(kick[1])
    for block in prange((n_in + _INPUTS - 1) // _INPUTS):
        for i in range(block * _INPUTS, min(n_in, (block + 1) * _INPUTS)):
            w, v, s = weight[i], momentum[i], scale[i]
            _advance_row(powers[now - clock[i] + 1], w, v, s)
            for u in range(units.size):
                w[units[u]] += s[units[u]] * kick_w * grads[u, i]
            if v.size:
                for u in range(units.size):
                    v[units[u]] += kick_v * grads[u, i]
            clock[i] = now + 1


@njit(cache=True, nogil=True, error_model="numpy")
def add_entries(units: Array, inputs: Array, grads: Array, state: ScaledState, kick: Array) -> None:
    """Add what the gradients do to the states of single weights; a weight may be there several times."""
    weight, momentum, scale = state
    kind = weight.dtype.type
    kick_w, moving_v, staying_v = kind(kick[0]), kind(kick[1]), kind(kick[3])
    for e in range(grads.size):
        weight[inputs[e], units[e]] += scale[inputs[e], units[e]] * kick_w * grads[e]
    if momentum.shape[1]:
        for e in range(grads.size):
            s = scale[inputs[e], units[e]]
            momentum[inputs[e], units[e]] += (staying_v + s * (moving_v - staying_v)) * grads[e]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"}, inline="always")
def _advance_row(power: Array, w: Array, v: Array, s: Array) -> None:
    kind = w.dtype.type
    # P₀ leaves w alone: its first row is (1, 0).
    ww, wv = kind(power[0] - 1.0), kind(power[1])
    vw, vv = kind(power[6]), kind(power[7])
    more_vw, more_vv = kind(power[2] - power[6]), kind(power[3] - power[7])
    if v.size == 0:
        for j in range(w.size):
            w[j] += s[j] * ww * w[j]
    else:
        for j in range(w.size):
            old = w[j]
            w[j] = old + s[j] * (ww * old + wv * v[j])
            v[j] = (vw + s[j] * more_vw) * old + (vv + s[j] * more_vv) * v[j]
