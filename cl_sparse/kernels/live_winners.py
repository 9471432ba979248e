"""Products with live synapses and the search for the winners in one pass, so that no (B, units) array is ever held.

Compiled by Numba; arrays and arguments as in :mod:`cl_sparse.kernels.live`. Units are ranked by value · factor. Of
units that tie for the last place the first that the search meets win, so there are exactly k winners.
"""

from typing import Any

import numpy as np
from numba import njit, prange

from cl_sparse.kernels.arrays import Array
from cl_sparse.kernels.live import FAST, gather_major, scatter_sample, share_of


@njit(nogil=True, cache=True)
def kth_largest(x: Array, k: int) -> Any:
    """Return the k-th largest number in x, which is reordered. No NaN, 1 ≤ k ≤ len(x). Hoare's quickselect."""
    lo, hi = 0, x.size - 1
    while lo < hi:
        a, b, c = x[lo], x[(lo + hi) // 2], x[hi]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = lo, hi
        while i <= j:
            while x[i] > pivot:
                i += 1
            while x[j] < pivot:
                j -= 1
            if i <= j:
                x[i], x[j] = x[j], x[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            hi = j
        elif k - 1 >= i:
            lo = i
        else:
            break
    return x[k - 1]


@njit(nogil=True, cache=True)
def keep_best(ranks: Array, ids: Array, values: Array, count: int, k: int, room: Array) -> Any:
    """Move the k best of ``count`` candidates to the front, in the order they have; return the last one's rank."""
    room[:count] = ranks[:count]
    least = kth_largest(room[:count], k)
    above = 0
    for c in range(count):
        above += ranks[c] > least
    ties, at = k - above, 0
    for c in range(count):
        if ranks[c] > least or (ranks[c] == least and ties > 0):
            ties -= ranks[c] == least
            ranks[at], ids[at], values[at] = ranks[c], ids[c], values[c]
            at += 1
    return least


@njit(nogil=True, cache=True, fastmath=FAST)
def _is_finite(y: Array) -> bool:
    """Return whether no unit is NaN or infinite. A loop that vector units can do."""
    total = y.dtype.type(0)
    for i in range(y.size):
        total += y[i] * 0
    return bool(total == 0)


@njit(nogil=True, cache=True)
def _group_maxima(y: Array, factor: Array, tops: Array) -> None:
    """tops[c] = largest rank among the units c, c + len(tops), …"""
    groups = tops.size
    tops[:] = -np.inf
    for first in range(0, y.size, groups):
        part, factors = y[first : first + groups], factor[first : first + groups]
        for c in range(part.size):
            tops[c] = max(tops[c], part[c] * factors[c])


@njit(nogil=True, cache=True)
def _win_with_nan(ids: Array, values: Array) -> None:
    """Let the first units win, with NaN, so that a net that has diverged does not look healthy."""
    for a in range(ids.size):
        ids[a], values[a] = a, np.nan


@njit(nogil=True, cache=True)
def _reaching(y: Array, factor: Array, least: float, places: Array) -> int:
    """Write the units with a rank of at least ``least`` to places (n + 1,); return how many there are."""
    count = 0
    for i in range(y.size):
        places[count] = i
        count += y[i] * factor[i] >= least
    return count


@njit(nogil=True, cache=True)
def _candidates(y: Array, factor: Array, k: int, tops: Array, ranks: Array, places: Array) -> int:
    """Write to places few units among which the k winners are; return how many.

    Every unit goes into one of len(tops) ≥ k groups. The k-th largest of the groups' maxima is a rank that at least k
    units reach, and few others.
    """
    groups = tops.size
    _group_maxima(y, factor, tops)
    ranks[:groups] = tops
    least = kth_largest(ranks[:groups], k)
    if groups <= 8 * k:
        return _reaching(y, factor, least, places)
    count = 0
    for c in range(groups):
        if tops[c] >= least:
            for i in range(c, y.size, groups):
                if y[i] * factor[i] >= least:
                    places[count] = i
                    count += 1
    return count


@njit(nogil=True, cache=True)
def select(
    y: Array, factor: Array, ids: Array, values: Array, guess: float, tops: Array, ranks: Array, places: Array
) -> Any:
    """Write the winners of one sample to ids and values (k,).

    Args:
        y: (n,) values of the units.
        factor: (n,).
        ids: (k,) for the winners.
        values: (k,) for their values.
        guess: a rank that k units or a few more probably reach; -inf for no guess. It changes nothing but time.
        tops: room for the groups' maxima, (groups_for(n, k),).
        ranks: room, (2 n,).
        places: room, (n + 1,).

    Returns:
        A guess for a similar sample.
    """
    k, count = ids.size, 0
    if k == 0:
        return guess
    if not _is_finite(y):
        _win_with_nan(ids, values)
        return guess
    few = 4 * k if guess > -np.inf else 0
    # Only where the order of the candidates is the same with and without a guess.
    if few and k * 50 > y.size and tops.size <= 8 * k:
        count = _reaching(y, factor, guess, places)
    if not k <= count <= few:
        count = _candidates(y, factor, k, tops, ranks, places)
    best = -np.inf
    for c in range(count):
        ranks[c] = y[places[c]] * factor[places[c]]
        best = max(best, ranks[c])
    room = ranks[count : 2 * count]
    room[:] = ranks[:count]
    least = kth_largest(room, k)
    ties, at = k, 0
    for c in range(count):
        ties -= ranks[c] > least
    for c in range(count):
        if ranks[c] > least or (ranks[c] == least and ties > 0):
            ties -= ranks[c] == least
            ids[at], values[at] = places[c], y[places[c]]
            at += 1
    return least - 0.1 * (best - least)


@njit(nogil=True, cache=True)
def groups_for(n: int, k: int) -> int:
    """Return how many groups to look at: a few times k, with short columns and a power of two of units a row."""
    wanted = min(n, max(2 * k, int(np.sqrt(n)) * 4))
    return max(k, wanted // 16 * 16)


@njit(nogil=True, cache=True, parallel=True)
def winners_by_inputs(
    parts: int,
    on: Array,
    coefs: Array,
    pointers: Array,
    minors: Array,
    weights: Array,
    bias: Array,
    factor: Array,
    ids: Array,
    values: Array,
) -> None:
    """ids, values (B, k) = the winners of bias + x·Wᵀ, for listed inputs and W by inputs. Threads share the samples."""
    batch, n = ids.shape[0], bias.size
    groups = groups_for(n, ids.shape[1])
    for part in prange(parts):
        y, tops = np.empty(n, bias.dtype), np.empty(groups, bias.dtype)
        ranks, places = np.empty(2 * n, bias.dtype), np.empty(n + 1, np.int64)
        guess = y.dtype.type(-np.inf)
        for b in range(batch * part // parts, batch * (part + 1) // parts):
            y[:] = bias
            scatter_sample(on[b], coefs[b], pointers, minors, weights, y)
            guess = select(y, factor, ids[b], values[b], guess, tops, ranks, places)


@njit(nogil=True, cache=True, parallel=True)
def winners_of_dense(parts: int, y: Array, factor: Array, ids: Array, values: Array) -> None:
    """ids, values (B, k) = the winners of y (B, n)."""
    batch, n = y.shape
    groups = groups_for(n, ids.shape[1])
    for part in prange(parts):
        tops, ranks = np.empty(groups, y.dtype), np.empty(2 * n, y.dtype)
        places, guess = np.empty(n + 1, np.int64), y.dtype.type(-np.inf)
        for b in range(batch * part // parts, batch * (part + 1) // parts):
            guess = select(y[b], factor, ids[b], values[b], guess, tops, ranks, places)


@njit(nogil=True, cache=True)
def _stream(
    first: int,
    last: int,
    pointers: Array,
    minors: Array,
    weights: Array,
    x: Array,
    bias: Array,
    factor: Array,
    k: int,
    ranks: Array,
    ids: Array,
    values: Array,
    counts: Array,
) -> None:
    """Compute one unit after the other for the whole batch, and keep of each sample the candidates that lead."""
    batch, size = ranks.shape
    least, row, room = np.full(batch, -np.inf, x.dtype), np.empty(batch, x.dtype), np.empty(size, x.dtype)
    for unit in range(first, last):
        row[:] = bias[unit]
        gather_major(minors[pointers[unit] : pointers[unit + 1]], weights[pointers[unit] : pointers[unit + 1]], x, row)
        scale, some = factor[unit], 0
        for b in range(batch):
            # Phrased so that a NaN is a candidate.
            some += not (row[b] * scale <= least[b])
        if some == 0:
            continue
        for b in range(batch):
            rank = row[b] * scale
            if not (rank <= least[b]):
                at = counts[b]
                ranks[b, at], ids[b, at], values[b, at] = (np.inf if rank != rank else rank), unit, row[b]
                counts[b] = at + 1
                if at + 1 == size:
                    least[b] = keep_best(ranks[b], ids[b], values[b], size, k, room)
                    counts[b] = k


@njit(nogil=True, cache=True, parallel=True)
def winners_by_units(
    parts: int,
    x: Array,
    pointers: Array,
    minors: Array,
    weights: Array,
    bias: Array,
    factor: Array,
    ids: Array,
    values: Array,
) -> None:
    """ids, values (B, k) = the winners of bias + x·Wᵀ, for dense inputs x (inputs, B) and W by units.

    Threads share the units; each keeps up to 4 k + 64 candidates per sample, of which the best are drawn at the end.
    """
    batch, k = ids.shape
    size = 4 * k + 64
    ranks, of_x = np.empty((parts, batch, size), x.dtype), np.empty((parts, batch, size), x.dtype)
    units, counts = np.empty((parts, batch, size), np.int64), np.zeros((parts, batch), np.int64)
    for part in prange(parts):
        first, last = share_of(pointers, part, parts)
        _stream(
            first,
            last,
            pointers,
            minors,
            weights,
            x,
            bias,
            factor,
            k,
            ranks[part],
            units[part],
            of_x[part],
            counts[part],
        )
    for b in prange(batch):
        total = counts[:, b].sum()
        all_ranks, all_ids = np.empty(total, x.dtype), np.empty(total, np.int64)
        all_values, at = np.empty(total, x.dtype), 0
        for part in range(parts):
            for c in range(counts[part, b]):
                all_ranks[at], all_ids[at], all_values[at] = ranks[part, b, c], units[part, b, c], of_x[part, b, c]
                at += 1
        keep_best(all_ranks, all_ids, all_values, total, k, np.empty(total, x.dtype))
        ids[b], values[b] = all_ids[:k], all_values[:k]
