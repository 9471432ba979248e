"""The loops over winners, compiled by Numba. Arrays are NumPy views of CPU tensors, float32 or float64.

Weights come inputs first, (inputs, units), so that an input that is on is one contiguous row. Every thread writes what
no other does, in an order that does not depend on how many threads there are: results do not either.

Importing this module costs a second and the first call of a kernel on a machine a few more; only compact layers do.
"""

import numpy as np
from numba import njit, prange

from cl_sparse.kernels.arrays import Active, Array, Weights
from cl_sparse.kernels.threads import use_torch_threads
from cl_sparse.kernels.vector_tile import TILE_BYTES, add_rows

__all__ = [
    "add_up",
    "entries",
    "group",
    "input_gradient",
    "product",
    "product_row",
    "unit_gradients",
    "use_torch_threads",
]


@njit(cache=True, parallel=True, nogil=True, error_model="numpy", fastmath={"contract"})
def product(active: Active, linear: Weights, out: Array) -> None:
    """out (B, n) = bias + x·weight for an x of which the active inputs are on."""
    indices, inputs = active
    weight, bias = linear
    for s in prange(len(out)):
        product_row(indices[s], inputs[s], weight, bias, out, s)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def product_row(indices: Array, inputs: Array, weight: Array, bias: Array, out: Array, s: int) -> None:
    """out[s] (n,) = bias + x·weight for an x of which the inputs (m,) at the indices (-1: none) are on."""
    columns, values = np.empty(indices.size, np.int64), np.empty(indices.size, inputs.dtype)
    count = 0
    for e in range(indices.size):
        if indices[e] >= 0:
            columns[count], values[count] = indices[e], inputs[e]
            count += 1
    out[s] = bias
    n = weight.shape[1]
    tile = TILE_BYTES // weight.itemsize
    whole = n // tile * tile
    for first in range(0, whole, tile):
        add_rows(weight, first, columns, values, 0, count, out, s * n + first)
    for e in range(count):
        for j in range(whole, n):
            out[s, j] += values[e] * weight[columns[e], j]


@njit(cache=True, nogil=True, error_model="numpy")
def entries(inputs: Active, units: Active, rows: Array, columns: Array, grads: Array) -> int:
    """Write the weight gradient between inputs and units that are on, entry by entry; return how many there are.

    Entry (rows[e], columns[e]) is a pair (unit, input) of one sample; pairs of several samples are to be added up.
    """
    in_indices, in_values = inputs
    out_indices, out_grads = units
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
def input_gradient(in_indices: Array, units: Active, weight: Array, in_grads: Array) -> None:
    """in_grads (B, m) = gradient of the inputs that are on, from that of the units that are on."""
    out_indices, out_grads = units
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
def add_up(indices: Array, grads: Array, totals: Array) -> None:
    """totals (n,) = sums of the gradients (B, m) of each of the units (B, m); -1 is skipped."""
    totals[:] = 0
    for s in range(indices.shape[0]):
        for o in range(indices.shape[1]):
            if indices[s, o] >= 0:
                totals[indices[s, o]] += grads[s, o]


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
