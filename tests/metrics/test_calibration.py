"""Calibration against a slow reference, and its ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_sparse.metrics import calibration_error


def slow(confidence, right, bins):
    total = 0.0
    for b in range(bins):
        inside = [i for i, sure in enumerate(confidence) if b / bins < sure <= (b + 1) / bins or (b == 0 == sure)]
        if inside:
            total += abs(np.mean([right[i] for i in inside]) - np.mean([confidence[i] for i in inside])) * len(inside)
    return total / len(confidence)


@given(
    st.lists(st.tuples(st.integers(0, 64).map(lambda i: i / 64), st.booleans()), min_size=1),
    st.sampled_from([1, 4, 16]),
)
def test_it_is_the_gap_within_bins(samples, bins):
    confidence, right = zip(*samples, strict=True)
    assert calibration_error(confidence, right, bins) == pytest.approx(slow(confidence, right, bins))


def test_sure_and_right_is_calibrated_sure_and_wrong_is_not():
    assert calibration_error([1.0, 1.0], [True, True]) == 0
    assert calibration_error([1.0, 1.0], [False, False]) == 1
    with pytest.raises(ValueError, match="at least one"):
        calibration_error([], [])
