"""The winners at each place of a feature map, and their sums over the cells of a grid, compiled by Numba.

At each place the k channels with the largest response win, and give what they have beyond the (k+1)-th:
relu(response − threshold). Ties do not matter: they give 0. Responses are bfloat16, as the products of the CPU's matrix
unit give them: ordered as 16-bit integers their threshold is found in 16 counts, exactly.
"""

import numpy as np
from numba import njit, prange

from cl_sparse.kernels.arrays import Array
from cl_sparse.kernels.threads import use_torch_threads

__all__ = ["sum_winners", "use_torch_threads"]


@njit(cache=True, parallel=True, nogil=True, error_model="numpy")
def sum_winners(responses: Array, k: int, cells: Array, out: Array) -> None:
    """Add up what wins, by cell.

    Args:
        responses: (B, places, channels) int16, the bits of bfloat16; no NaN, at most 32767 channels.
        k: winners at each place, 1 ≤ k < channels.
        cells: (places,) int64, the cell of each place.
        out: (B, cells, channels) float32, 0 at first.
    """
    n, places, channels = responses.shape
    for b in prange(n):
        keys = np.empty(channels, np.int16)
        bits = np.empty(channels, np.int32)
        values = bits.view(np.float32)
        level_bits = np.empty(1, np.int32)
        level = level_bits.view(np.float32)
        for p in range(places):
            row = responses[b, p]
            for c in range(channels):
                bits[c] = np.int32(row[c]) << 16
            for c in range(channels):
                # The order of the numbers is that of their bits, the negative ones' reversed.
                keys[c] = np.int16(row[c] ^ ((row[c] >> 15) & np.int16(0x7FFF)))
            threshold = _threshold(keys, k)
            level_bits[0] = np.int32(threshold ^ ((threshold >> 15) & np.int16(0x7FFF))) << 16
            low = level[0]
            sums = out[b, cells[p]]
            for c in range(channels):
                sums[c] += max(values[c] - low, np.float32(0.0))


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _threshold(keys: Array, k: int) -> np.int16:
    """Return the (k+1)-th largest key: the least number that at most k keys are above."""
    low, high = np.int32(-32769), np.int32(32767)  # more than k keys are above low, at most k above high
    while high - low > 1:
        middle = np.int16((low + high) >> 1)
        above = np.int16(0)
        for c in range(keys.size):
            above = np.int16(above + np.int16(keys[c] > middle))  # else Numba counts in 64 bits
        if above > k:
            low = np.int32(middle)
        else:
            high = np.int32(middle)
    return np.int16(high)
