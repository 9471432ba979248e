"""Means within squares around the centre, against the formula as it was published."""

import numpy as np
import pytest

from cl_sparse.metrics import square_means


def test_they_are_those_of_the_published_slices():
    counts = np.random.default_rng(0).integers(0, 40, 784)
    t = counts.reshape(28, 28)
    expected = [t[13 - i : 15 + i, 13 - i : 15 + i].mean() for i in range(14)]
    np.testing.assert_allclose(square_means(counts), expected)
    assert square_means(counts)[-1] == counts.mean()
    for pixels in (np.zeros(9), np.zeros(10), np.zeros((4, 4)), np.zeros(0)):
        with pytest.raises(ValueError, match="a square image of an even side"):
            square_means(pixels)
