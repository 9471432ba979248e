"""Searches for the winners of a layer, a row of pre-activations at a time, compiled by Numba.

All searches, here and in :mod:`cl_sparse.kernels.background`, find the k < n units of each sample with the largest
x·factor. They write them and their x into ``winners`` and ``kept`` (B, k), and into ``rate`` (n,) the share of the
samples that each unit is a positive winner of. They return whether that can be done: False if a loser ties with a
winner, or a value is not finite; the arrays are then of no use. What is found, and in which order, does not depend on
the number of threads.

Weights come inputs first, (inputs, n); bias and factor are (n,).
"""

import numpy as np
from numba import njit, prange

from cl_sparse.kernels.arrays import Array
from cl_sparse.kernels.live_winners import groups_for, select
from cl_sparse.kernels.winners import product_row


@njit(cache=True, parallel=True, nogil=True, error_model="numpy")
def search(parts: int, x: Array, factor: Array, winners: Array, kept: Array, rate: Array) -> bool:
    """Find the winners among pre-activations x (B, n). Threads share the samples, in ``parts`` parts."""
    clear = np.ones(parts, np.bool_)
    for part in prange(parts):
        room = _room(x.shape[1], winners.shape[1], x)
        for s in range(len(x) * part // parts, len(x) * (part + 1) // parts):
            clear[part] &= _search_row(x[s], factor, winners[s], kept[s], *room)
    return bool(clear.all()) and write_rate(winners, kept, rate)


@njit(cache=True, parallel=True, nogil=True, error_model="numpy", fastmath={"contract"})
def search_among_active(
    parts: int,
    indices: Array,
    inputs: Array,
    weight: Array,
    bias: Array,
    factor: Array,
    winners: Array,
    kept: Array,
    rate: Array,
) -> bool:
    """Find the winners among bias + x·weight, for an x of which the inputs (B, m) at the indices (-1: none) are on.

    Threads share the samples, in ``parts`` parts.
    """
    clear, b = np.ones(parts, np.bool_), len(inputs)
    for part in prange(parts):
        room = _room(bias.size, winners.shape[1], weight)
        z = np.empty((1, bias.size), weight.dtype)
        for s in range(b * part // parts, b * (part + 1) // parts):
            product_row(indices[s], inputs[s], weight, bias, z, 0)
            clear[part] &= _search_row(z[0], factor, winners[s], kept[s], *room)
    return bool(clear.all()) and write_rate(winners, kept, rate)


@njit(cache=True, nogil=True, error_model="numpy")
def write_rate(winners: Array, kept: Array, rate: Array) -> bool:
    """Write the share of the samples that each unit is a positive winner of to rate (n,); return True."""
    rate[:] = 0
    for s in range(len(winners)):
        for w in range(winners.shape[1]):
            rate[winners[s, w]] += kept[s, w] > 0
    for j in range(rate.size):
        rate[j] /= len(winners)
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _room(n: int, k: int, like: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Return the arrays that a search for k winners among n units needs."""
    tops, ranks = np.empty(groups_for(n, k + 1), like.dtype), np.empty(2 * n, like.dtype)
    return np.empty(k + 1, np.int64), np.empty(k + 1, like.dtype), tops, ranks, np.empty(n + 1, np.int64)


@njit(cache=True, nogil=True, error_model="numpy")
def _search_row(
    x: Array,
    factor: Array,
    winners: Array,
    kept: Array,
    units: Array,
    values: Array,
    tops: Array,
    ranks: Array,
    places: Array,
) -> bool:
    """Write the winners of one sample: the k + 1 best but for the last of them, with which none may tie."""
    select(x, factor, units, values, -np.inf, tops, ranks, places)
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
