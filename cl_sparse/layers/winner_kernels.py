"""The loops over winners, compiled by Numba. Arrays are NumPy views of CPU tensors, float32 or float64.

Weights come inputs first, (inputs, units), so that an input that is on is one contiguous row. Every thread writes what
no other does, in an order that does not depend on how many threads there are: results do not either.

Importing this module costs a second and the first call of a kernel on a machine a few more; only compact layers do.
"""

from typing import Any

import numpy as np
from numba import njit, prange

from cl_sparse.layers.threads import use_torch_threads

__all__ = [
    "Array",
    "compress",
    "entries",
    "group",
    "input_gradient",
    "product",
    "select",
    "unit_gradients",
    "use_torch_threads",
]

Array = np.ndarray[Any, Any]

_UNITS = 256  # units per block: a block's part of the weights of a few hundred inputs stays in the second-level cache
_SCAN = 64  # units that are looked at together in a search for winners


@njit(cache=True, nogil=True, error_model="numpy")
def compress(x: Array, level: Any, ends: Array, columns: Array, values: Array) -> None:
    """Write the entries of x (B, n) that are not ``level``, less it, sample after sample.

    ``columns`` and ``values`` have room for one entry more than there are.
    """
    at = np.int64(0)
    ends[0] = 0
    for s in range(x.shape[0]):
        row = x[s]
        for j in range(row.size):
            # Written in any case, and overwritten by the next: a branch would be mispredicted too often.
            columns[at], values[at] = j, row[j] - level
            at += np.int64(row[j] != level)
        ends[s + 1] = at


@njit(cache=True, parallel=True, nogil=True, error_model="numpy", fastmath={"contract"})
def product(ends: Array, columns: Array, values: Array, level: Any, weight: Array, bias: Array, out: Array) -> None:
    """out (B, n) = bias + x·weight for an x that is ``level`` but for the entries, which are added to it."""
    n_in, n = weight.shape
    b = out.shape[0]
    for block in prange((n + _UNITS - 1) // _UNITS):
        first = block * _UNITS
        last = min(n, first + _UNITS)
        width = last - first
        base = bias[first:last].copy()
        if level != 0:
            total = np.zeros(width, weight.dtype)
            for i in range(n_in):
                row = weight[i, first:last]
                for j in range(width):
                    total[j] += row[j]
            for j in range(width):
                base[j] += level * total[j]
        for s in range(b):
            into = out[s, first:last]
            for j in range(width):
                into[j] = base[j]
            at, end = ends[s], ends[s + 1]
            while at + 4 <= end:
                c0, c1, c2, c3 = columns[at], columns[at + 1], columns[at + 2], columns[at + 3]
                v0, v1, v2, v3 = values[at], values[at + 1], values[at + 2], values[at + 3]
                w0, w1 = weight[c0, first:last], weight[c1, first:last]
                w2, w3 = weight[c2, first:last], weight[c3, first:last]
                for j in range(width):
                    into[j] += v0 * w0[j] + v1 * w1[j] + v2 * w2[j] + v3 * w3[j]
                at += 4
            while at < end:
                v0 = values[at]
                w0 = weight[columns[at], first:last]
                for j in range(width):
                    into[j] += v0 * w0[j]
                at += 1


@njit(cache=True, parallel=True, nogil=True, error_model="numpy")
def select(x: Array, factor: Array, k: int, winners: Array) -> np.bool_:
    """Write the k units of each sample with the largest x·factor into winners (B, k), best first.

    Return whether that is the whole truth: False if a loser ties with a winner, or a value is not a number.
    """
    b, n = x.shape
    plain = np.ones(b, np.bool_)
    for s in prange(b):
        best = np.full(k + 1, -np.inf, x.dtype)
        which = np.full(k + 1, -1, np.int64)
        threshold, numbers = best[k], True
        for first in range(0, n, _SCAN):
            row, weight = x[s, first : first + _SCAN], factor[first : first + _SCAN]
            some = np.int32(0)
            for j in range(row.size):
                some |= np.int32(not row[j] * weight[j] <= threshold)
            if some == 0:
                continue
            for j in range(row.size):
                rank = row[j] * weight[j]
                if not rank <= threshold:
                    numbers = numbers and not np.isnan(rank)
                    at = k
                    while at > 0 and best[at - 1] < rank:
                        best[at], which[at] = best[at - 1], which[at - 1]
                        at -= 1
                    best[at], which[at] = rank, first + j
                    threshold = best[k]
        winners[s] = which[:k]
        plain[s] = numbers and best[k - 1] > best[k]
    return plain.all()


@njit(cache=True, nogil=True, error_model="numpy")
def entries(
    in_indices: Array, in_values: Array, out_indices: Array, out_grads: Array, rows: Array, columns: Array, grads: Array
) -> int:
    """Write the weight gradient between inputs and units that are on, entry by entry; return how many there are.

    Entry (rows[e], columns[e]) is a pair (unit, input) of one sample; pairs of several samples are to be added up.
    """
    count = 0
    for s in range(in_indices.shape[0]):
        for o in range(out_indices.shape[1]):
            unit, grad = out_indices[s, o], out_grads[s, o]
            if unit < 0 or grad == 0:
                continue
            for i in range(in_indices.shape[1]):
                if in_indices[s, i] >= 0:
                    rows[count] = unit
                    columns[count] = in_indices[s, i]
                    grads[count] = grad * in_values[s, i]
                    count += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def input_gradient(in_indices: Array, out_indices: Array, out_grads: Array, weight: Array, in_grads: Array) -> None:
    """in_grads (B, m) = gradient of the inputs that are on, from that of the units that are on."""
    for s in range(in_indices.shape[0]):
        for i in range(in_indices.shape[1]):
            total = in_grads.dtype.type(0)
            row = in_indices[s, i]
            if row >= 0:
                for o in range(out_indices.shape[1]):
                    if out_indices[s, o] >= 0:
                        total += out_grads[s, o] * weight[row, out_indices[s, o]]
            in_grads[s, i] = total


@njit(cache=True, nogil=True, error_model="numpy")
def group(indices: Array, grads: Array, n: int) -> tuple[Array, Array, Array]:
    """Sort the entries (sample, unit) with a gradient by unit.

    Return the units (u,), where each one's entries end (u + 1,), and the entries as positions in ``indices`` (e,).
    """
    counts = np.zeros(n, np.int64)
    flat, flat_grads = indices.ravel(), grads.ravel()
    for e in range(flat.size):
        if flat[e] >= 0 and flat_grads[e] != 0:
            counts[flat[e]] += 1
    units = np.flatnonzero(counts)
    ends = np.zeros(units.size + 1, np.int64)
    place = np.empty(n, np.int64)
    for u in range(units.size):
        place[units[u]] = ends[u]
        ends[u + 1] = ends[u] + counts[units[u]]
    order = np.empty(ends[-1], np.int64)
    for e in range(flat.size):
        if flat[e] >= 0 and flat_grads[e] != 0:
            order[place[flat[e]]] = e
            place[flat[e]] += 1
    return units, ends, order


@njit(cache=True, parallel=True, nogil=True, error_model="numpy", fastmath={"contract"})
def unit_gradients(x: Array, grads: Array, ends: Array, order: Array, out: Array) -> None:
    """out (u, inputs) = weight gradient of the grouped units, from the dense inputs x (B, inputs)."""
    width = grads.shape[1]
    flat = grads.ravel()
    for u in prange(out.shape[0]):
        into = out[u]
        into[:] = 0
        for at in range(ends[u], ends[u + 1]):
            grad = flat[order[at]]
            row = x[order[at] // width]
            for i in range(row.size):
                into[i] += grad * row[i]
