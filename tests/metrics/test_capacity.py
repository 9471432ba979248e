"""Capacity of a layer: mixtures against slow fits, ranks in the right basis, overlaps by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import digamma
from scipy.stats import shapiro

from cl_sparse.metrics.capacity import (
    components_for,
    effective_rank,
    importance_overlap,
    principal_components,
    shapiro_w,
    spread,
)
from cl_sparse.metrics.mixtures import MOST_STEPS, fit_exponential_normal, fit_two_gammas

positive = arrays(np.float64, st.integers(2, 40), elements=st.floats(1e-4, 1e3))


def two_kinds(dead: int, alive: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.exponential(0.02, dead) + 1e-6, np.abs(rng.normal(1.0, 0.2, alive))])


def density_normal(x: float, mean: float, std: float) -> float:
    return math.exp(-(((x - mean) / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))


def slow_exponential_normal(x: list[float], steps: int) -> tuple[float, float, float, float]:
    """Expectation and maximisation as the formulas say, one number at a time."""
    n = len(x)
    weight, scale, mean = 0.5, 1.0, sum(x) / n
    std = math.sqrt(sum((v - mean) ** 2 for v in x) / n)
    for _ in range(steps):
        tau = []
        for v in x:
            first = weight * math.exp(-v / scale) / scale
            second = (1 - weight) * density_normal(v, mean, std)
            tau.append(first / (first + second))
        weight = sum(tau) / n
        scale = sum(t * v for t, v in zip(tau, x, strict=True)) / sum(tau)
        rest = n - sum(tau)
        mean = sum((1 - t) * v for t, v in zip(tau, x, strict=True)) / rest
        std = math.sqrt(sum((1 - t) * (v - mean) ** 2 for t, v in zip(tau, x, strict=True)) / rest)
    return weight, scale, mean, std


def slow_shape(gap: float) -> float:
    low, high = 1e-6, 1e9
    for _ in range(300):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if math.log(middle) - digamma(middle) > gap else (low, middle)
    return low


def slow_two_gammas(x: list[float], steps: int) -> tuple[float, list[tuple[float, float]]]:
    x = [v + 1e-5 for v in x]
    n = len(x)
    weight, parts = 0.5, [(0.5, 1.0), (10.0, sum(x) / n / 10)]
    for _ in range(steps):
        tau = []
        for v in x:
            logs = [(k - 1) * math.log(v) - v / s - math.lgamma(k) - k * math.log(s) for k, s in parts]
            odds = weight * math.exp(logs[0] - max(logs))
            tau.append(odds / (odds + (1 - weight) * math.exp(logs[1] - max(logs))))
        weight, parts = sum(tau) / n, []
        for weights in (tau, [1 - t for t in tau]):
            total = sum(weights)
            mean = sum(w * v for w, v in zip(weights, x, strict=True)) / total
            log_mean = sum(w * math.log(v) for w, v in zip(weights, x, strict=True)) / total
            k = slow_shape(math.log(mean) - log_mean)
            parts.append((k, mean / k))
    return weight, parts


@pytest.mark.parametrize(("dead", "alive"), [(30, 70), (5, 95), (60, 20)])
def test_both_mixtures_are_the_formulas_and_find_the_share(dead: int, alive: int) -> None:
    x = two_kinds(dead, alive)
    found = fit_exponential_normal(x)
    expected = slow_exponential_normal(x.tolist(), found.steps)
    assert (found.weight, found.scale, found.mean, found.std) == pytest.approx(expected, rel=1e-9)
    assert found.weight == pytest.approx(dead / (dead + alive), abs=0.05)
    assert found.steps < MOST_STEPS
    gammas = fit_two_gammas(x)
    weight, parts = slow_two_gammas(x.tolist(), gammas.steps)
    assert gammas.weight == pytest.approx(weight, rel=1e-6)
    assert list(zip(gammas.shapes, gammas.scales, strict=True)) == [pytest.approx(part, rel=1e-5) for part in parts]
    if alive > dead:  # else both gammas may settle among those that hardly vary
        assert gammas.weight == pytest.approx(dead / (dead + alive), abs=0.05)


@given(positive)
def test_mixtures_end_with_a_share(x: np.ndarray) -> None:
    for found in (fit_exponential_normal(x), fit_two_gammas(x)):
        assert 0 <= found.weight <= 1
        assert found.steps <= MOST_STEPS


def test_degenerate_mixtures() -> None:
    assert fit_exponential_normal([0.5] * 4).weight == 1.0
    assert fit_exponential_normal(np.random.default_rng(0).normal(1e4, 1, 300)).weight == 0.0
    for x in ([1.0], [1.0, 0.0], [1.0, math.nan], [1.0, -1.0], [1.0, math.inf]):
        for fit in (fit_exponential_normal, fit_two_gammas):
            with pytest.raises(ValueError, match="at least two numbers, all positive and finite"):
                fit(x)


def test_spread_sums_a_layer_up() -> None:
    stds = np.concatenate([np.zeros(10), two_kinds(30, 60)])
    found = spread(stds)
    assert (found["units"], found["dead"]) == (100, 10)
    assert found["total_std"] == pytest.approx(stds.sum())
    assert found["shapiro_w"] == pytest.approx(shapiro(stds).statistic)
    assert found["exponential_weight"] == fit_exponential_normal(stds[stds > 0]).weight
    assert found["gamma_weight"] == fit_two_gammas(stds[stds > 0]).weight
    dead = spread([0.0, 0.0, 0.0])
    assert dead["dead"] == 3
    assert all(math.isnan(dead[key]) for key in ("shapiro_w", "exponential_weight", "gamma_weight"))
    for wrong in ([-1.0, 1.0], [math.nan]):
        with pytest.raises(ValueError, match="finite and at least 0"):
            spread(wrong)


def test_shapiro_is_near_one_for_normal_numbers_and_quiet_for_many() -> None:
    rng = np.random.default_rng(0)
    assert shapiro_w(rng.normal(size=6000)) > 0.999
    assert shapiro_w(rng.exponential(size=500)) < 0.9
    assert math.isnan(shapiro_w([1.0, 2.0]))


def test_components_are_rows_and_leave_the_remaining_variance() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 12)) @ np.diag(np.linspace(3, 0.1, 12)) @ rng.normal(size=(12, 12))
    x -= x.mean(0)
    variances, components = principal_components(x.T @ x / len(x))
    _, singular, rows = np.linalg.svd(x, full_matrices=False)
    np.testing.assert_allclose(variances, singular**2 / len(x), rtol=1e-9)
    np.testing.assert_allclose(np.abs((components * rows).sum(1)), 1, rtol=1e-6)
    for k in (1, 4, 12):
        error = ((x - x @ components[:k].T @ components[:k]) ** 2).sum(1).mean()
        assert error == pytest.approx(variances[k:].sum(), abs=1e-9)
    wrong = ((x - x @ components[:, :4] @ components[:, :4].T) ** 2).sum(1).mean()
    assert wrong > 1.1 * variances[4:].sum()


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 100))
def test_effective_rank_is_the_rank_of_equal_directions(rank: int, more: int, seed: int) -> None:
    n = rank + more
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0][:, :rank]
    covariance = basis @ basis.T * 3.0
    assert effective_rank(covariance) == pytest.approx(rank, rel=1e-6)
    assert components_for(covariance, 1 - 1e-9) == rank
    assert components_for(covariance, 0.5) == math.ceil(rank / 2)


def test_ranks_of_nothing() -> None:
    assert math.isnan(effective_rank(np.zeros((3, 3))))
    assert components_for(np.zeros((3, 3)), 0.99) == 0
    assert effective_rank(np.diag([1.0, 0, 0])) == pytest.approx(1)


def test_overlap_by_hand() -> None:
    overlap = importance_overlap([[3, 1, 0, -5], [0, 0, 2, 2], [1, 1, 0, 0], [0, 0, 0, -1]])
    np.testing.assert_allclose(overlap[:3, :3], [[1, 0, 0.75], [0, 1, 0], [0.75, 0, 1]])
    assert np.isnan(overlap[3]).all()
    with pytest.raises(ValueError, match="must be \\(tasks, units\\)"):
        importance_overlap([1.0, 2.0])


@given(arrays(np.float64, (3, 5), elements=st.floats(0, 100)))
def test_overlap_is_a_symmetric_share(importance: np.ndarray) -> None:
    overlap = importance_overlap(importance)
    np.testing.assert_array_equal(overlap, overlap.T)
    known = overlap[~np.isnan(overlap)]
    assert ((known >= 0) & (known <= 1 + 1e-9)).all()
    some = importance.sum(1) > 0
    np.testing.assert_allclose(np.diag(overlap)[some], 1)
