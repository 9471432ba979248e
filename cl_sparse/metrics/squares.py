"""Where on an image a net looks."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def is_square(pixels: int) -> bool:
    """Whether so many pixels are a square image of an even side."""
    side = math.isqrt(pixels)
    return side * side == pixels and side % 2 == 0 and side > 0


def square_means(counts: ArrayLike) -> NDArray[np.float64]:
    """Return the mean count per pixel within squares around the centre, of side 2, 4, … up to the whole image.

    The last one is the mean over all pixels. A net that is connected to the centre rather than to the border has means
    that fall.

    Args:
        counts: (pixels,), connections of each pixel of a square image of an even side, row by row.

    Raises:
        ValueError: the image is no such square.
    """
    flat = np.asarray(counts, dtype=np.float64)
    if flat.ndim != 1 or not is_square(flat.size):
        raise ValueError(f"the pixels of a square image of an even side are needed, not {flat.shape}")
    side = math.isqrt(flat.size)
    image, middle = flat.reshape(side, side), side // 2
    around = [slice(middle - half, middle + half) for half in range(1, middle + 1)]
    return np.array([image[square, square].mean() for square in around])
