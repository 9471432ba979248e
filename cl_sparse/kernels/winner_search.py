"""Searches for the winners of a layer, a row of pre-activations at a time, compiled by Numba.

All searches, here and in :mod:`cl_sparse.kernels.background`, find the k < n units of each sample with the largest
x·factor. They return whether that can be done: False if a loser ties with a winner, or a value is not finite; what is
found is then of no use. What is found, and in which order, does not depend on the number of threads.

Weights come inputs first, (inputs, n); bias and factor are (n,).
"""

from typing import Any

import numpy as np
from numba import njit, prange

from cl_sparse.kernels.arrays import Active, Array, Found, Weights
from cl_sparse.kernels.selection import NOT_FINITE, Room, room_for, select, write_rate
from cl_sparse.kernels.winners import product_row


@njit(cache=True, parallel=True, nogil=True, error_model="numpy")
def search(parts: int, x: Array, factor: Array, found: Found) -> bool:
    """Find the winners among pre-activations x (B, n). Threads share the samples, in ``parts`` parts."""
    clear = np.ones(parts, np.bool_)
    winners, kept = found.winners, found.kept
    for part in prange(parts):
        best, room = _best_of(winners.shape[1], x), room_for(x.shape[1], winners.shape[1] + 1, x)
        for s in range(len(x) * part // parts, len(x) * (part + 1) // parts):
            clear[part] &= _search_row(x[s], factor, winners[s], kept[s], best, room)
    return _rated(clear.all(), found)


@njit(cache=True, parallel=True, nogil=True, error_model="numpy", fastmath={"contract"})
def search_among_active(parts: int, active: Active, linear: Weights, factor: Array, found: Found) -> bool:
    """Find the winners among bias + x·weight, for an x of which the active inputs are on.

    Threads share the samples, in ``parts`` parts.
    """
    indices, inputs = active
    weight, bias = linear
    winners, kept = found.winners, found.kept
    clear, b = np.ones(parts, np.bool_), len(inputs)
    for part in prange(parts):
        best, room = _best_of(winners.shape[1], weight), room_for(bias.size, winners.shape[1] + 1, weight)
        z = np.empty((1, bias.size), weight.dtype)
        for s in range(b * part // parts, b * (part + 1) // parts):
            product_row(indices[s], inputs[s], weight, bias, z, 0)
            clear[part] &= _search_row(z[0], factor, winners[s], kept[s], best, room)
    return _rated(clear.all(), found)


@njit(cache=True, nogil=True, error_model="numpy")
def _rated(clear: Any, found: Found) -> bool:
    if clear:
        write_rate(found)
    return bool(clear)


@njit(cache=True, nogil=True, error_model="numpy")
def _best_of(k: int, like: Array) -> tuple[Array, Array]:
    """Return room for the k + 1 best units and their values."""
    return np.empty(k + 1, np.int64), np.empty(k + 1, like.dtype)


@njit(cache=True, nogil=True, error_model="numpy")
def _search_row(x: Array, factor: Array, winners: Array, kept: Array, best: tuple[Array, Array], room: Room) -> bool:
    """Write the winners of one sample: the k + 1 best but for the last of them, with which none may tie."""
    units, values = best
    if select(x, factor, units, values, -np.inf, room)[1] == NOT_FINITE:
        return False
    last, at = 0, 0
    for c in range(1, units.size):
        if values[c] * factor[units[c]] < values[last] * factor[units[last]]:
            last = c
    for c in range(units.size):
        if c == last:
            continue
        if not values[c] * factor[units[c]] > values[last] * factor[units[last]]:
            return False
        winners[at], kept[at] = units[c], values[c]
        at += 1
    return True
