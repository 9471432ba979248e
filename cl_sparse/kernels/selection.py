"""Selecting the k units of a sample with the largest value · factor, compiled by Numba.

Of units that tie for the last place the first win, so there are exactly k winners. A selection says how it went:
``CLEAR``, ``TIED`` if a loser ranks as high as a winner, or ``NOT_FINITE`` if there is NaN or infinity; the winners are
then of no use.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from cl_sparse.kernels.arrays import Array, Found
from cl_sparse.kernels.live import FAST

CLEAR, TIED, NOT_FINITE = 0, 1, 2


class Room(NamedTuple):
    """Room for a selection of k of n units, to be used again for the next sample.

    Attributes:
        tops: (groups_for(n, k),) for the groups' maxima.
        ranks: (2 n,).
        places: (n + 1,) int64.
    """

    tops: Array
    ranks: Array
    places: Array


@njit(nogil=True, cache=True)
def room_for(n: int, k: int, like: Array) -> Room:
    """Return room for a selection, in the type of ``like``."""
    tops, ranks = np.empty(groups_for(n, k), like.dtype), np.empty(2 * n, like.dtype)
    return Room(tops, ranks, np.empty(n + 1, np.int64))


@njit(nogil=True, cache=True)
def groups_for(n: int, k: int) -> int:
    """Return how many groups to look at: a few times k, with short columns and a power of two of units a row."""
    wanted = min(n, max(2 * k, int(np.sqrt(n)) * 4))
    return max(k, wanted // 16 * 16)


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
def keep_best(ranks: Array, ids: Array, values: Array, count: int, k: int, room: Array) -> tuple[Any, bool]:
    """Move the k best of ``count`` candidates to the front, in the order they have.

    Return the last one's rank, and whether one that has it falls out.
    """
    room[:count] = ranks[:count]
    least = kth_largest(room[:count], k)
    above, equal = 0, 0
    for c in range(count):
        above += ranks[c] > least
        equal += ranks[c] == least
    ties, at = k - above, 0
    tied = equal > ties
    for c in range(count):
        if ranks[c] > least or (ranks[c] == least and ties > 0):
            ties -= ranks[c] == least
            ranks[at], ids[at], values[at] = ranks[c], ids[c], values[c]
            at += 1
    return least, tied


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
def _write(y: Array, ranks: Array, places: Array, least: float, ids: Array, values: Array) -> bool:
    """Write the units that rank above ``least``, and of those that rank there the first; return whether some are left.

    Args:
        y: (n,) values of the units.
        ranks: (c,) of the candidates.
        places: at least (c,), which units they are.
        least: the k-th largest rank.
        ids: (k,) for the winners.
        values: (k,) for their values.
    """
    ties, at, tied = ids.size, 0, False
    for c in range(ranks.size):
        ties -= ranks[c] > least
    for c in range(ranks.size):
        if ranks[c] > least or (ranks[c] == least and ties > 0):
            ties -= ranks[c] == least
            ids[at], values[at] = places[c], y[places[c]]
            at += 1
        else:
            tied |= ranks[c] == least
    return tied


@njit(nogil=True, cache=True)
def select(y: Array, factor: Array, ids: Array, values: Array, guess: float, room: Room) -> tuple[float, int]:
    """Write the winners of one sample to ids and values (k,).

    Args:
        y: (n,) values of the units.
        factor: (n,).
        ids: (k,) for the winners.
        values: (k,) for their values.
        guess: a rank that k units or a few more probably reach; -inf for no guess. It changes nothing but time.
        room: what is needed.

    Returns:
        A guess for a similar sample, and how it went.
    """
    k, count = ids.size, 0
    if k == 0:
        return guess, CLEAR
    if not _is_finite(y):
        return guess, NOT_FINITE
    tops, ranks, places = room
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
    room_for_search = ranks[count : 2 * count]
    room_for_search[:] = ranks[:count]
    least = kth_largest(room_for_search, k)
    tied = _write(y, ranks[:count], places, least, ids, values)
    if tied:
        # Again, with the candidates in the order of the units.
        count = _reaching(y, factor, least, places)
        for c in range(count):
            ranks[c] = y[places[c]] * factor[places[c]]
        _write(y, ranks[:count], places, least, ids, values)
    return least - 0.1 * (best - least), TIED if tied else CLEAR


@njit(nogil=True, cache=True, error_model="numpy")
def write_rate(found: Found) -> None:
    """Write the share of the samples that each unit is a positive winner of."""
    winners, kept, rate = found
    rate[:] = 0
    for s in range(len(winners)):
        for w in range(winners.shape[1]):
            rate[winners[s, w]] += kept[s, w] > 0
    for j in range(rate.size):
        rate[j] /= len(winners)
