import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cl_sparse import metrics

share = st.floats(0, 1, allow_subnormal=False).map(lambda p: round(p, 6))
uses = st.tuples(st.integers(1, 4), st.integers(1, 6)).flatmap(lambda shape: arrays(np.float64, shape, elements=share))


@given(uses)
def test_overlap_equals_a_slow_loop(use):
    overlap, chance = metrics.unit_overlap(use)
    T, n = use.shape
    for a in range(T):
        for b in range(T):
            small = min(sum(use[a]), sum(use[b]))
            if small == 0:
                assert math.isnan(overlap[a, b])
                assert math.isnan(chance[a, b])
            else:
                assert overlap[a, b] == pytest.approx(sum(use[a, u] * use[b, u] for u in range(n)) / small)
                assert chance[a, b] == pytest.approx(sum(use[a]) * sum(use[b]) / n / small)


@given(uses)
def test_overlap_is_symmetric_and_a_share(use):
    for matrix in metrics.unit_overlap(use):
        np.testing.assert_allclose(matrix, matrix.T)
        defined = matrix[~np.isnan(matrix)]
        assert (defined >= 0).all()
        assert (defined <= 1 + 1e-9).all()


def test_overlap_of_codes_that_are_the_same_and_disjoint():
    overlap, chance = metrics.unit_overlap([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]])
    np.testing.assert_allclose(overlap, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(chance, [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0.5, 0.5, 0.25]])


def test_overlap_is_the_mean_of_drawn_pairs():
    rng = np.random.default_rng(0)
    p = rng.random((2, 20))
    a, b = (rng.random((40_000, 20)) < p[i] for i in (0, 1))
    drawn = (a & b).sum(axis=1).mean() / min(a.sum(axis=1).mean(), b.sum(axis=1).mean())
    assert metrics.unit_overlap(p)[0][0, 1] == pytest.approx(drawn, abs=0.01)


def test_chance_is_the_mean_over_shuffled_units():
    rng = np.random.default_rng(0)
    p = rng.random((2, 12)) ** 3
    shuffled = [metrics.unit_overlap([p[0], rng.permutation(p[1])])[0][0, 1] for _ in range(4000)]
    assert np.mean(shuffled) == pytest.approx(metrics.unit_overlap(p)[1][0, 1], abs=0.01)


def test_overlap_refuses_what_is_not_a_table():
    with pytest.raises(ValueError, match="tasks, units"):
        metrics.unit_overlap([0.1, 0.2])


@given(arrays(np.float64, 5, elements=share))
def test_entropy(p):
    slow = [-sum(x * math.log2(x) for x in (q, 1 - q) if x > 0) for q in p]
    np.testing.assert_allclose(metrics.binary_entropy(p), slow, atol=1e-12)
    assert metrics.duty_cycle_entropy(p) == pytest.approx(sum(slow) / 5)
    assert metrics.duty_cycle_entropy(p) <= metrics.max_duty_cycle_entropy(float(p.mean())) + 1e-9


def test_entropy_at_the_ends():
    np.testing.assert_array_equal(metrics.binary_entropy([0.0, 0.5, 1.0]), [0, 1, 0])
    assert math.isnan(metrics.duty_cycle_entropy([]))
    assert metrics.dead_share([0, 0.5, 0, 1]) == 0.5
    assert math.isnan(metrics.dead_share([]))
    with pytest.raises(ValueError, match="outside"):
        metrics.binary_entropy([1.5])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_mean_and_sample_deviation(values):
    assert metrics.mean_std(values) == pytest.approx((statistics.mean(values), statistics.stdev(values)), abs=1e-9)


def test_deviation_of_one_run_is_undefined():
    mean, std = metrics.mean_std([0.7])
    assert mean == 0.7
    assert math.isnan(std)
    assert all(map(math.isnan, metrics.mean_std([])))
    assert all(map(math.isnan, metrics.mean_std([0.5, float("nan")])))
