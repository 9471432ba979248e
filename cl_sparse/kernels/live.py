"""The loops over live synapses, compiled by Numba. Arrays are NumPy views of CPU tensors, float32 or float64.

A sparse matrix is walked by its *major* axis: ``pointers`` delimit the synapses of each major, ``minors`` name the
other end of each. In a layer stored by rows the majors are its units, in one stored by columns its inputs; every loop
serves both.

The dense loops work on transposed activities, (axis, B), and do one vector operation along the batch per synapse. The
active loops take, for each sample, the majors that are on with their coefficients, and touch the live synapses of those
only.

No two threads write one number and every sum keeps the order of a single thread, so results do not depend on how many
threads there are. Importing this module costs a second, the first call of a loop on a machine a few more.
"""

from typing import Any

import numpy as np
from numba import njit, prange

from cl_sparse.kernels.arrays import Active, Array, Matrix

# Sums may be reordered for vector units; NaN and infinity keep their meaning.
FAST = {"contract", "reassoc", "nsz"}


@njit(nogil=True, cache=True)
def share_of(pointers: Array, part: int, parts: int) -> tuple[Any, Any]:
    """Return the first and last-but-one major of one of several equal shares of the synapses."""
    total = np.int64(pointers[-1])
    majors = pointers.size - 1
    first = np.searchsorted(pointers, total * part // parts) if part > 0 else 0
    last = np.searchsorted(pointers, total * (part + 1) // parts) if part < parts - 1 else majors
    return min(first, majors), min(last, majors)


@njit(nogil=True, cache=True, fastmath=FAST)
def gather_major(ends: Array, weights: Array, dense: Array, out: Array) -> None:
    """Add the sum of weight · dense[end] over the synapses of one major to out (B,)."""
    p = 0
    while p + 4 <= ends.size:
        w0, w1, w2, w3 = weights[p], weights[p + 1], weights[p + 2], weights[p + 3]
        d0, d1, d2, d3 = dense[ends[p]], dense[ends[p + 1]], dense[ends[p + 2]], dense[ends[p + 3]]
        for b in range(out.size):
            out[b] += w0 * d0[b] + w1 * d1[b] + w2 * d2[b] + w3 * d3[b]
        p += 4
    while p < ends.size:
        w0, d0 = weights[p], dense[ends[p]]
        for b in range(out.size):
            out[b] += w0 * d0[b]
        p += 1


@njit(nogil=True, cache=True, parallel=True)
def gather(parts: int, matrix: Matrix, dense: Array, out: Array) -> None:
    """out[major] += sum of value · dense[minor]; dense (minors, B), out (majors, B)."""
    pointers, minors, values = matrix
    for part in prange(parts):
        first, last = share_of(pointers, part, parts)
        for major in range(first, last):
            lo, hi = pointers[major], pointers[major + 1]
            gather_major(minors[lo:hi], values[lo:hi], dense, out[major])


@njit(nogil=True, cache=True, parallel=True)
def gather_by_sample(parts: int, matrix: Matrix, bias: Array, dense: Array, out: Array) -> None:
    """out[b, major] = bias[major] + sum of value · dense[minor, b]; dense (minors, B), out (B, majors).

    A few majors at a time, so that their transposition stays in the cache.
    """
    batch = dense.shape[1]
    pointers, minors, values = matrix
    for part in prange(parts):
        first, last = share_of(pointers, part, parts)
        block = np.empty((16, batch), dense.dtype)
        for start in range(first, last, 16):
            size = min(16, last - start)
            for m in range(size):
                lo, hi = pointers[start + m], pointers[start + m + 1]
                block[m, :] = bias[start + m]
                gather_major(minors[lo:hi], values[lo:hi], dense, block[m])
            for b in range(batch):
                for m in range(size):
                    out[b, start + m] = block[m, b]


@njit(nogil=True, cache=True, fastmath=FAST)
def _spread(lo: int, hi: int, pointers: Array, minors: Array, values: Array, dense: Array, out: Array) -> None:
    for major in range(pointers.size - 1):
        row = dense[major, lo:hi]
        for p in range(pointers[major], pointers[major + 1]):
            value, target = values[p], out[minors[p], lo:hi]
            for b in range(row.size):
                target[b] += value * row[b]


@njit(nogil=True, cache=True, parallel=True)
def spread(parts: int, matrix: Matrix, dense: Array, out: Array) -> None:
    """out[minor] += value · dense[major]; dense (majors, B), out (minors, B). Each thread takes a part of the batch."""
    batch = dense.shape[1]
    pointers, minors, values = matrix
    for part in prange(parts):
        _spread(batch * part // parts, batch * (part + 1) // parts, pointers, minors, values, dense, out)


@njit(nogil=True, cache=True, fastmath=FAST)
def _sample(first: int, last: int, pointers: Array, minors: Array, lefts: Array, rights: Array, out: Array) -> None:
    for major in range(first, last):
        left = lefts[major]
        for p in range(pointers[major], pointers[major + 1]):
            right = rights[minors[p]]
            total = out.dtype.type(0)
            for b in range(left.size):
                total += left[b] * right[b]
            out[p] = total


@njit(nogil=True, cache=True, parallel=True)
def sample(parts: int, pointers: Array, minors: Array, lefts: Array, rights: Array, out: Array) -> None:
    """out[synapse] = lefts[major] · rights[minor]: a dense product at the live places only."""
    for part in prange(parts):
        first, last = share_of(pointers, part, parts)
        _sample(first, last, pointers, minors, lefts, rights, out)


@njit(nogil=True, cache=True, parallel=True)
def count_nonzero(dense: Array, counts: Array) -> None:
    """counts[b] = number of non-zeros in sample b of dense (B, n)."""
    for b in prange(dense.shape[0]):
        row, count = dense[b], 0
        for i in range(row.size):
            count += row[i] != 0
        counts[b] = count


@njit(nogil=True, cache=True, parallel=True)
def list_nonzero(dense: Array, on: Array, coefs: Array) -> None:
    """Write the non-zeros of dense (B, n) into on and coefs (B, m), and -1 and 0 into the entries left."""
    for b in prange(dense.shape[0]):
        row, at = dense[b], 0
        for i in range(row.size):
            if row[i] != 0:
                on[b, at], coefs[b, at] = i, row[i]
                at += 1
        on[b, at:], coefs[b, at:] = -1, 0


@njit(nogil=True, cache=True, fastmath={"contract"})
def scatter_sample(on: Array, coefs: Array, pointers: Array, minors: Array, values: Array, out: Array) -> None:
    """out[minor] += coef · value over the synapses of the majors that are on in one sample."""
    for a in range(on.size):
        major, coef = on[a], coefs[a]
        if major < 0 or coef == 0:
            continue
        lo, hi = pointers[major], pointers[major + 1]
        ends, weights = minors[lo:hi], values[lo:hi]
        for p in range(ends.size):
            out[ends[p]] += coef * weights[p]


@njit(nogil=True, cache=True, parallel=True)
def scatter(active: Active, matrix: Matrix, out: Array) -> None:
    """out[b, minor] += coef · value over the majors that are on; out (B, minors)."""
    on, coefs = active
    pointers, minors, values = matrix
    for b in prange(out.shape[0]):
        scatter_sample(on[b], coefs[b], pointers, minors, values, out[b])


@njit(nogil=True, cache=True)
def _shares_of_work(parts: int, on: Array, pointers: Array) -> Array:
    """Return (parts + 1,) bounds between majors that give every part the same number of active synapses."""
    work = np.zeros(pointers.size, np.int64)
    for b in range(on.shape[0]):
        for a in range(on.shape[1]):
            major = on[b, a]
            if major >= 0:
                work[major + 1] += 1 + np.int64(pointers[major + 1]) - np.int64(pointers[major])
    total = np.cumsum(work)
    bounds = np.zeros(parts + 1, np.int64)
    for part in range(1, parts):
        bounds[part] = np.searchsorted(total, total[-1] * part // parts)
    bounds[parts] = pointers.size - 1
    return bounds


@njit(nogil=True, cache=True, fastmath=FAST)
def _outer_of_major(coef: float, ends: Array, weights: Array, others: Array, grad: Array) -> Any:
    total = grad.dtype.type(0)
    for p in range(ends.size):
        other = others[ends[p]]
        # Behind k-winners most are 0; where none is, the branch is predicted.
        if other != 0:
            total += other * weights[p]
            grad[p] += coef * other
    return total


@njit(nogil=True, cache=True, parallel=True)
def outer(
    parts: int, active: Active, dense: Array, others: Active, matrix: Matrix, grad: Array, grad_coefs: Array
) -> None:
    """Both gradients of the active synapses in one walk.

    grad[synapse] += coef[major] · other[minor]; grad_coefs[b, a] = sum of other[minor] · value over the synapses of the
    major that entry (b, a) names. The minors' side is ``dense`` (B, minors); or, if that is of shape (0, minors), those
    of them that are on, ``others``.
    """
    on, coefs = active
    pointers, minors, values = matrix
    bounds = _shares_of_work(parts, on, pointers)
    other_on, other_values = others
    listed = dense.shape[0] == 0
    for part in prange(parts):
        first, last = bounds[part], bounds[part + 1]
        row = np.zeros(dense.shape[1] if listed else 0, grad.dtype)
        for b in range(on.shape[0]):
            if listed:
                for a in range(other_on.shape[1]):
                    if other_on[b, a] >= 0:
                        row[other_on[b, a]] = other_values[b, a]
            else:
                row = dense[b]
            for a in range(on.shape[1]):
                major = on[b, a]
                if first <= major < last:
                    lo, hi = pointers[major], pointers[major + 1]
                    grad_coefs[b, a] = _outer_of_major(coefs[b, a], minors[lo:hi], values[lo:hi], row, grad[lo:hi])
            if listed:
                for a in range(other_on.shape[1]):
                    if other_on[b, a] >= 0:
                        row[other_on[b, a]] = 0
