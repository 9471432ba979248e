"""The loops of lazy SGD, compiled by Numba; see :mod:`cl_sparse.kernels.winners` on arrays and threads.

The state of a weight is (w, v), with its momentum v; a step without gradient multiplies it by a 2x2 matrix. ``powers``
(n, 4) holds the powers of that matrix, row by row flattened.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, prange

from cl_sparse.kernels.arrays import Array
from cl_sparse.kernels.winners import use_torch_threads

__all__ = ["State", "add_entries", "advance", "step_rows", "use_torch_threads"]

_INPUTS = 16  # inputs per block of a step: one cache line of a gradient row


class State(NamedTuple):
    """What a step changes.

    Attributes:
        weight: (inputs, units).
        momentum: (inputs, units), or (inputs, 0) for none.
    """

    weight: Array
    momentum: Array


@njit(cache=True, parallel=True, nogil=True, error_model="numpy", fastmath={"contract"})
def advance(wanted: Array, clock: Array, now: int, powers: Array, state: State) -> None:
    """Bring the rows ``wanted`` (any number of times each; -1 is skipped) of the weight to time ``now``."""
    weight, momentum = state
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
        _advance_row(powers[steps[d]], weight[due[d]], momentum[due[d]])


@njit(cache=True, parallel=True, nogil=True, error_model="numpy", fastmath={"contract"})
def step_rows(clock: Array, now: int, powers: Array, state: State, units: Array, grads: Array, kick: Array) -> None:
    """Bring all rows to time ``now`` and take the step from there, with the gradient ``grads`` (u, inputs) of units."""
    weight, momentum = state
    n_in = weight.shape[0]
    kick_w, kick_v = weight.dtype.type(kick[0]), weight.dtype.type(kick[1])
    for block in prange((n_in + _INPUTS - 1) // _INPUTS):
        for i in range(block * _INPUTS, min(n_in, (block + 1) * _INPUTS)):
            w, v = weight[i], momentum[i]
            _advance_row(powers[now - clock[i] + 1], w, v)
            if v.size:
                for u in range(units.size):
                    w[units[u]] += kick_w * grads[u, i]
                    v[units[u]] += kick_v * grads[u, i]
            else:
                for u in range(units.size):
                    w[units[u]] += kick_w * grads[u, i]
            clock[i] = now + 1


@njit(cache=True, nogil=True, error_model="numpy")
def add_entries(units: Array, inputs: Array, grads: Array, state: State, kick: Array) -> None:
    """Add kick·gradient to the states of single weights; a weight may be there several times."""
    weight, momentum = state
    kick_w, kick_v = weight.dtype.type(kick[0]), weight.dtype.type(kick[1])
    for e in range(grads.size):
        weight[inputs[e], units[e]] += kick_w * grads[e]
    if momentum.shape[1]:
        for e in range(grads.size):
            momentum[inputs[e], units[e]] += kick_v * grads[e]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"}, inline="always")
def _advance_row(power: Array, w: Array, v: Array) -> None:
    ww, wv = w.dtype.type(power[0]), w.dtype.type(power[1])
    vw, vv = w.dtype.type(power[2]), w.dtype.type(power[3])
    if v.size == 0:
        for j in range(w.size):
            w[j] *= ww
    else:
        for j in range(w.size):
            old = w[j]
            w[j] = ww * old + wv * v[j]
            v[j] = vw * old + vv * v[j]
