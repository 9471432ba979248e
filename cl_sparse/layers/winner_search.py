"""Searches for the winners of a layer, compiled by Numba, most of them while its pre-activations are computed.

The pre-activations are in the cache, a tile or a row at a time, and never in memory as a whole. All searches find the k
units of each sample with the largest x·factor. They write them, best first (equals by number), and their x into
``winners`` and ``kept`` (B, k), and into ``rate`` (n,) the share of the samples that each unit is a positive winner of.
They return whether that is the whole truth: False if a loser ties with a winner, or a value is not a number.

Weights come inputs first, (inputs, units). What is found does not depend on the number of threads.
"""

from typing import Any

import numpy as np
from numba import njit, prange

from cl_sparse.layers.vector_tile import TILE_BYTES, add_rows
from cl_sparse.layers.winner_kernels import Array, product_row

_INPUTS = 64  # inputs taken together: a tile of their weights fits the first-level cache
_SCAN = 64  # units that are looked at together


@njit(cache=True, parallel=True, nogil=True, error_model="numpy")
def search(x: Array, factor: Array, winners: Array, kept: Array, rate: Array) -> bool:
    """Find the winners among pre-activations x (B, n)."""
    ranks, slots, values, units = _no_candidates(1, len(winners), winners.shape[1], x)
    numbers = np.ones(len(x), np.bool_)
    for s in prange(len(x)):
        numbers[s] = _scan(x[s], factor, 0, ranks[0, s], slots[0, s], values[0, s], units[0, s])
    return _write_winners(ranks[0], slots[0], values[0], units[0], winners, kept, rate) and bool(numbers.all())


@njit(cache=True, parallel=True, nogil=True, error_model="numpy", fastmath={"contract"})
def search_among_active(
    indices: Array, inputs: Array, weight: Array, bias: Array, factor: Array, winners: Array, kept: Array, rate: Array
) -> bool:
    """Find the winners among bias + x·weight, for an x of which the inputs (B, m) at the indices (-1: none) are on."""
    ranks, slots, values, units = _no_candidates(1, len(winners), winners.shape[1], weight)
    numbers = np.ones(len(inputs), np.bool_)
    for s in prange(len(inputs)):
        z = np.empty((1, weight.shape[1]), weight.dtype)
        product_row(indices[s], inputs[s], weight, bias, z, 0)
        numbers[s] = _scan(z[0], factor, 0, ranks[0, s], slots[0, s], values[0, s], units[0, s])
    return _write_winners(ranks[0], slots[0], values[0], units[0], winners, kept, rate) and bool(numbers.all())


@njit(cache=True, parallel=True, nogil=True, error_model="numpy", fastmath={"contract"})
def search_over_background(
    parts: int,
    ends: Array,
    columns: Array,
    entries: Array,
    level: Any,
    weight: Array,
    bias: Array,
    factor: Array,
    winners: Array,
    kept: Array,
    rate: Array,
) -> bool:
    """Find the winners among bias + x·weight, for an x that is ``level`` but for the entries, which are added to it.

    The columns of each sample are in ascending order. The units are searched in ``parts`` parts, in parallel.
    """
    n, b = weight.shape[1], len(winners)
    tile = TILE_BYTES // weight.itemsize
    blocks = (n + tile - 1) // tile
    bounds = _bounds(ends, columns, len(weight))
    ranks, slots, values, units = _no_candidates(parts, b, winners.shape[1], weight)
    numbers = np.ones(parts, np.bool_)
    for part in prange(parts):
        z = np.empty((b, tile), weight.dtype)
        for block in range(part * blocks // parts, (part + 1) * blocks // parts):
            first, last = block * tile, min(n, (block + 1) * tile)
            _background_tile(bounds, columns, entries, level, weight, bias, first, last, z)
            for s in range(b):
                row = z[s, : last - first]
                best = ranks[part, s], slots[part, s], values[part, s], units[part, s]
                numbers[part] &= _scan(row, factor, first, *best)
    for s in prange(b):
        for part in range(1, parts):
            for e in range(ranks.shape[2]):
                if ranks[part, s, e] > ranks[0, s, -1]:
                    slot = slots[part, s, e]
                    candidate = ranks[part, s, e], values[part, s, slot], units[part, s, slot]
                    _enter(*candidate, ranks[0, s], slots[0, s], values[0, s], units[0, s])
    return _write_winners(ranks[0], slots[0], values[0], units[0], winners, kept, rate) and bool(numbers.all())


@njit(cache=True, nogil=True, error_model="numpy")
def _bounds(ends: Array, columns: Array, n_in: int) -> Array:
    """Return where the entries of each group of inputs begin for each sample, (groups + 1, B)."""
    groups = (n_in + _INPUTS - 1) // _INPUTS
    bounds = np.empty((groups + 1, len(ends) - 1), np.int64)
    for s in range(bounds.shape[1]):
        at = ends[s]
        for group in range(groups):
            bounds[group, s] = at
            while at < ends[s + 1] and columns[at] < (group + 1) * _INPUTS:
                at += 1
        bounds[groups, s] = at
    return bounds


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _background_tile(
    bounds: Array,
    columns: Array,
    entries: Array,
    level: Any,
    weight: Array,
    bias: Array,
    first: int,
    last: int,
    z: Array,
) -> None:
    """Write the pre-activations of the units first … last − 1 into z (B, tile)."""
    tile, width = z.shape[1], last - first
    base = np.zeros(tile, weight.dtype)
    for i in range(len(weight)):
        row = weight[i, first:last]
        for j in range(row.size):
            base[j] += row[j]
    for j in range(width):
        base[j] = level * base[j] + bias[first + j]
    source, column = weight, first
    if width < tile:
        # The last units are too few for a tile: their weights are copied to where there is room.
        source, column = np.zeros((len(weight), tile), weight.dtype), 0
        source[:, :width] = weight[:, first:last]
    for s in range(len(z)):
        z[s] = base
    # All samples meet the same few inputs in turn, so that a tile of their weights stays in the first-level cache.
    for group in range(len(bounds) - 1):
        for s in range(len(z)):
            add_rows(source, column, columns, entries, bounds[group, s], bounds[group + 1, s], z, s * tile)


@njit(cache=True, nogil=True, error_model="numpy")
def _no_candidates(parts: int, b: int, k: int, like: Array) -> tuple[Array, Array, Array, Array]:
    """Return room for the k + 1 best of each sample in each part: ranks and slots, best first; values, units of slots.

    What is in a slot stays there, so that only ranks and slots are moved to keep the order.
    """
    shape = (parts, b, k + 1)
    slots = np.empty(shape, np.int64)
    slots[:] = np.arange(k + 1)
    return np.full(shape, -np.inf, like.dtype), slots, np.zeros(shape, like.dtype), np.full(shape, -1, np.int64)


@njit(cache=True, nogil=True, error_model="numpy")
def _scan(x: Array, factor: Array, first: int, ranks: Array, slots: Array, values: Array, units: Array) -> bool:
    """Enter the units first … first + x.size − 1 into the list of the best; return whether all x are numbers."""
    numbers = True
    for start in range(0, x.size, _SCAN):
        row, weight = x[start : start + _SCAN], factor[first + start : first + min(x.size, start + _SCAN)]
        threshold, some = ranks[-1], np.int32(0)
        for j in range(row.size):
            some |= np.int32(not row[j] * weight[j] <= threshold)
        if some == 0:
            continue
        for j in range(row.size):
            rank = row[j] * weight[j]
            if not rank <= ranks[-1]:
                numbers = numbers and not np.isnan(rank)
                _enter(rank, row[j], first + start + j, ranks, slots, values, units)
    return numbers


@njit(cache=True, nogil=True, error_model="numpy")
def _enter(rank: Any, value: Any, unit: int, ranks: Array, slots: Array, values: Array, units: Array) -> None:
    """Insert a candidate, of a higher number than all others, into a list, best first, whose last falls out."""
    at = ranks.size - 1
    slot = slots[at]
    values[slot], units[slot] = value, unit
    while at > 0 and ranks[at - 1] < rank:
        ranks[at], slots[at] = ranks[at - 1], slots[at - 1]
        at -= 1
    ranks[at], slots[at] = rank, slot


@njit(cache=True, nogil=True, error_model="numpy")
def _write_winners(
    ranks: Array, slots: Array, values: Array, units: Array, winners: Array, kept: Array, rate: Array
) -> bool:
    """Write all candidates (B, k + 1) but the last of each sample; return whether that one is worse than the others."""
    b, k = winners.shape
    untied = True
    rate[:] = 0
    for s in range(b):
        untied = untied and ranks[s, k - 1] > ranks[s, k]
        for w in range(k):
            unit, value = units[s, slots[s, w]], values[s, slots[s, w]]
            winners[s, w], kept[s, w] = unit, value
            rate[unit] += value > 0
    for j in range(rate.size):
        rate[j] /= b
    return untied
