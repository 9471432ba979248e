"""Dense inputs most of whose entries are at one level, as the pixels of a picture's background; compiled by Numba.

x is at a level but for its entries, which are added to it. Weights come inputs first, (inputs, units). Pre-activations
bias + x·weight are computed a tile of units at a time, for all samples, and the tile stays in the cache.
"""

from typing import Any

import numpy as np
from numba import njit, prange

from cl_sparse.kernels.arrays import Array, Entries, Found, Weights
from cl_sparse.kernels.selection import write_rate
from cl_sparse.kernels.vector_tile import TILE_BYTES, add_rows

_INPUTS = 64  # inputs taken together: a tile of their weights fits the first-level cache
_SCAN = 64  # units that are looked at together


@njit(cache=True, parallel=True, nogil=True, error_model="numpy")
def compress(x: Array, into: Entries) -> np.bool_:
    """Write the entries of x (B, n) that are not at the level, less it, sample after sample.

    Return whether there is room for their columns and values; if not, nothing is written there.
    """
    ends, columns, values, level = into
    b = x.shape[0]
    ends[0] = 0
    for s in prange(b):
        count = np.int32(0)
        for j in range(x.shape[1]):
            count += np.int32(x[s, j] != level)
        ends[s + 1] = count
    for s in range(b):
        ends[s + 1] += ends[s]
    if ends[b] > columns.size:
        return np.bool_(False)
    for s in prange(b):
        at, end, row = ends[s], ends[s + 1], x[s]
        for j in range(row.size):
            if at == end:
                break
            # Written in any case, and overwritten by the next: a branch would be mispredicted too often.
            columns[at], values[at] = j, row[j] - level
            at += np.int64(row[j] != level)
    return np.bool_(True)


@njit(cache=True, parallel=True, nogil=True, error_model="numpy", fastmath={"contract"})
def product(x: Entries, linear: Weights, out: Array) -> None:
    """out (B, n) = bias + x·weight."""
    weight = linear.weight
    n = weight.shape[1]
    tile = TILE_BYTES // weight.itemsize
    bounds = _bounds(x.ends, x.columns, len(weight))
    for block in prange((n + tile - 1) // tile):
        first, last = block * tile, min(n, (block + 1) * tile)
        z = np.empty((len(out), tile), weight.dtype)
        _write_tile(bounds, x, linear, first, last, z)
        out[:, first:last] = z[:, : last - first]


@njit(cache=True, parallel=True, nogil=True, error_model="numpy", fastmath={"contract"})
def search_over_background(parts: int, x: Entries, linear: Weights, factor: Array, found: Found) -> bool:
    """Find the winners, of which there should be few; see :mod:`cl_sparse.kernels.winner_search`.

    The pre-activations are never in memory as a whole. Threads share the units, in ``parts`` parts.
    """
    weight, winners, kept = linear.weight, found.winners, found.kept
    n, (b, k) = weight.shape[1], winners.shape
    tile = TILE_BYTES // weight.itemsize
    blocks = (n + tile - 1) // tile
    bounds = _bounds(x.ends, x.columns, len(weight))
    # The k + 1 best so far of each sample in each part, best first.
    ranks, values = np.full((parts, b, k + 1), -np.inf, weight.dtype), np.empty((parts, b, k + 1), weight.dtype)
    units = np.empty((parts, b, k + 1), np.int64)
    clear = np.ones((parts, b), np.bool_)
    for part in prange(parts):
        z = np.empty((b, tile), weight.dtype)
        for block in range(part * blocks // parts, (part + 1) * blocks // parts):
            first, last = block * tile, min(n, (block + 1) * tile)
            _write_tile(bounds, x, linear, first, last, z)
            for s in range(b):
                row = z[s, : last - first]
                clear[part, s] &= _scan(row, factor, first, ranks[part, s], values[part, s], units[part, s])
    for s in range(b):
        for part in range(1, parts):
            for e in range(k + 1):
                if ranks[part, s, e] > ranks[0, s, k]:
                    _enter(
                        ranks[part, s, e],
                        values[part, s, e],
                        units[part, s, e],
                        ranks[0, s],
                        values[0, s],
                        units[0, s],
                    )
        winners[s], kept[s] = units[0, s, :k], values[0, s, :k]
        clear[0, s] &= ranks[0, s, k - 1] > ranks[0, s, k]
    if not clear.all():
        return False
    write_rate(found)
    return True


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
def _write_tile(bounds: Array, x: Entries, linear: Weights, first: int, last: int, z: Array) -> None:
    """Write the pre-activations of the units first … last − 1 into z (B, tile)."""
    weight, bias = linear
    columns, entries, level = x.columns, x.values, x.level
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
def _scan(x: Array, factor: Array, first: int, ranks: Array, values: Array, units: Array) -> bool:
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
                _enter(rank, row[j], first + start + j, ranks, values, units)
    return numbers


@njit(cache=True, nogil=True, error_model="numpy")
def _enter(rank: Any, value: Any, unit: int, ranks: Array, values: Array, units: Array) -> None:
    """Insert a candidate, of a higher number than all others, into a list, best first, whose last falls out."""
    at = ranks.size - 1
    while at > 0 and ranks[at - 1] < rank:
        ranks[at], values[at], units[at] = ranks[at - 1], values[at - 1], units[at - 1]
        at -= 1
    ranks[at], values[at], units[at] = rank, value, unit
