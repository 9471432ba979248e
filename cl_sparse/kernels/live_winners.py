"""Products with live synapses and the search for the winners in one pass, so that no (B, units) array is ever held.

Compiled by Numba; arrays and arguments as in :mod:`cl_sparse.kernels.live`. Units are ranked by value · factor. There
are exactly k winners: of units that tie for the last place the first win. The searches return the worst of what
:mod:`cl_sparse.kernels.selection` says of the samples: ``CLEAR``, ``TIED``, or ``NOT_FINITE``.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, prange

from cl_sparse.kernels.arrays import Active, Array, Found, Matrix
from cl_sparse.kernels.live import gather_major, scatter_sample, share_of
from cl_sparse.kernels.selection import CLEAR, NOT_FINITE, TIED, keep_best, room_for, select, write_rate


class Leaders(NamedTuple):
    """The candidates that lead, of each sample.

    Attributes:
        ranks: (B, room).
        units: (B, room) int64, ascending.
        values: (B, room).
        counts: (B,) how many there are.
        tied: (B,) the rank of one that fell out although one that stayed has the same; NaN for none.
    """

    ranks: Array
    units: Array
    values: Array
    counts: Array
    tied: Array


@njit(nogil=True, cache=True, parallel=True)
def winners_by_inputs(parts: int, active: Active, matrix: Matrix, bias: Array, factor: Array, found: Found) -> int:
    """Find the winners of bias + x·Wᵀ, for listed inputs and W by inputs. Threads share the samples."""
    on, coefs = active
    pointers, minors, weights = matrix
    ids, values = found.winners, found.kept
    batch, n = ids.shape[0], bias.size
    states = np.zeros(parts, np.int64)
    for part in prange(parts):
        y, room = np.empty(n, bias.dtype), room_for(n, ids.shape[1], bias)
        guess, worst = -np.inf, CLEAR
        for b in range(batch * part // parts, batch * (part + 1) // parts):
            y[:] = bias
            scatter_sample(on[b], coefs[b], pointers, minors, weights, y)
            guess, state = select(y, factor, ids[b], values[b], guess, room)
            worst = max(worst, state)
        states[part] = worst
    return _rated(int(states.max()), found)


@njit(nogil=True, cache=True, parallel=True)
def winners_of_dense(parts: int, y: Array, factor: Array, found: Found) -> int:
    """Find the winners of y (B, n). Threads share the samples."""
    batch, n = y.shape
    ids, values = found.winners, found.kept
    states = np.zeros(parts, np.int64)
    for part in prange(parts):
        room = room_for(n, ids.shape[1], y)
        guess, worst = -np.inf, CLEAR
        for b in range(batch * part // parts, batch * (part + 1) // parts):
            guess, state = select(y[b], factor, ids[b], values[b], guess, room)
            worst = max(worst, state)
        states[part] = worst
    return _rated(int(states.max()), found)


@njit(nogil=True, cache=True, parallel=True)
def winners_by_units(parts: int, x: Array, matrix: Matrix, bias: Array, factor: Array, found: Found) -> int:
    """Find the winners of bias + x·Wᵀ, for dense inputs x (inputs, B) and W by units.

    Threads share the units; each keeps up to 4 k + 64 candidates per sample, of which the best are drawn at the end.
    """
    batch, k = found.winners.shape
    size = 4 * k + 64
    ranks, of_x = np.empty((parts, batch, size), x.dtype), np.empty((parts, batch, size), x.dtype)
    units, counts = np.empty((parts, batch, size), np.int64), np.zeros((parts, batch), np.int64)
    tied = np.full((parts, batch), np.nan, x.dtype)
    for part in prange(parts):
        first, last = share_of(matrix.pointers, part, parts)
        leaders = Leaders(ranks[part], units[part], of_x[part], counts[part], tied[part])
        _stream(first, last, matrix, x, bias, factor, k, leaders)
    states = np.zeros(batch, np.int64)
    for b in prange(batch):
        of_all = Leaders(ranks[:, b], units[:, b], of_x[:, b], counts[:, b], tied[:, b])
        states[b] = _draw(of_all, found.winners[b], found.kept[b])
    return _rated(int(states.max()), found)


@njit(nogil=True, cache=True)
def _stream(
    first: int, last: int, matrix: Matrix, x: Array, bias: Array, factor: Array, k: int, leaders: Leaders
) -> None:
    """Compute one unit after the other for the whole batch, and keep of each sample the candidates that lead."""
    pointers, minors, weights = matrix
    ranks, ids, values, counts, tied = leaders
    batch, size = ranks.shape
    least, row, room = np.full(batch, -np.inf, x.dtype), np.empty(batch, x.dtype), np.empty(size, x.dtype)
    for unit in range(first, last):
        row[:] = bias[unit]
        gather_major(minors[pointers[unit] : pointers[unit + 1]], weights[pointers[unit] : pointers[unit + 1]], x, row)
        scale, some = factor[unit], 0
        for b in range(batch):
            # Phrased so that a NaN is a candidate.
            some += not (row[b] * scale < least[b])
        if some == 0:
            continue
        for b in range(batch):
            rank = row[b] * scale
            if not (rank < least[b]):
                at = counts[b]
                ranks[b, at], ids[b, at], values[b, at] = (np.inf if rank != rank else rank), unit, row[b]
                counts[b] = at + 1
                if at + 1 == size:
                    least[b], fell_out = keep_best(ranks[b], ids[b], values[b], size, k, room)
                    counts[b] = k
                    if fell_out:
                        tied[b] = least[b]


@njit(nogil=True, cache=True)
def _draw(leaders: Leaders, ids: Array, values: Array) -> int:
    """Write the winners of one sample among the candidates (parts, room) of all threads; return how it went."""
    total, k, at = leaders.counts.sum(), ids.size, 0
    ranks, units, of_x = np.empty(total, values.dtype), np.empty(total, np.int64), np.empty(total, values.dtype)
    for part in range(leaders.counts.size):
        for c in range(leaders.counts[part]):
            ranks[at], units[at], of_x[at] = leaders.ranks[part, c], leaders.units[part, c], leaders.values[part, c]
            at += 1
    least, tied = keep_best(ranks, units, of_x, total, k, np.empty(total, values.dtype))
    ids[:], values[:] = units[:k], of_x[:k]
    if least == -np.inf or ranks[:k].max() == np.inf:
        return NOT_FINITE
    return TIED if tied or (leaders.tied == least).any() else CLEAR


@njit(nogil=True, cache=True)
def _rated(state: int, found: Found) -> int:
    if state != NOT_FINITE:
        write_rate(found)
    return state
