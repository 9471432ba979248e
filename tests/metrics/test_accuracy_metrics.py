import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cl_sparse import metrics

NAN = float("nan")
unit = st.floats(0, 1, width=32)
square = st.integers(1, 6).flatmap(lambda t: arrays(np.float64, (t, t), elements=unit))
holed = st.integers(1, 6).flatmap(lambda t: arrays(np.float64, (t, t), elements=unit | st.just(NAN)))


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else NAN


def slow_forgetting(R):
    T, drops = len(R), []
    for j in range(T - 1):
        earlier = [R[i, j] for i in range(j, T - 1) if not math.isnan(R[i, j])]
        drops.append(max(earlier) - R[T - 1, j] if earlier else NAN)
    return mean(drops)


def slow(R, r_init):
    T = len(R)
    return {
        "acc": mean(R[T - 1, j] for j in range(T)),
        "aia": mean(mean(R[i, j] for j in range(i + 1)) for i in range(T)),
        "bwt": mean(R[T - 1, j] - R[j, j] for j in range(T - 1)),
        "fwt": mean(R[j - 1, j] - r_init[j] for j in range(1, T)),
        "learning_accuracy": mean(R[j, j] for j in range(T)),
        "forgetting": slow_forgetting(R),
    }


@given(square | holed, st.integers(0, 2**32 - 1))
def test_every_scalar_equals_a_slow_loop(R, seed):
    r_init = np.random.default_rng(seed).random(len(R))
    before = R.copy()
    assert metrics.summary(R, r_init, "domain") == pytest.approx(slow(R, r_init), abs=1e-12, nan_ok=True)
    np.testing.assert_array_equal(R, before)


@given(square)
def test_forgetting_is_at_least_minus_backward_transfer(R):
    if len(R) > 1:
        assert metrics.forgetting(R) >= -metrics.backward_transfer(R) - 1e-12


@given(square, st.data())
def test_rows_without_a_test_give_a_lower_bound_of_forgetting(R, data):
    thin = R.copy()
    for i in data.draw(st.sets(st.integers(0, len(R) - 1))) - {len(R) - 1}:
        diagonal = thin[i, i]
        thin[i] = NAN
        thin[i, i] = diagonal
    if len(R) > 1:
        assert -metrics.backward_transfer(thin) - 1e-12 <= metrics.forgetting(thin) <= metrics.forgetting(R) + 1e-12
    assert metrics.average_accuracy(thin) == metrics.average_accuracy(R)
    assert metrics.learning_accuracy(thin) == metrics.learning_accuracy(R)


def test_by_hand():
    R = np.array([[0.9, 0.2, 0.1], [0.95, 0.8, 0.3], [0.6, 0.7, 0.9]])
    got = metrics.summary(R, [0.1, 0.1, 0.2], "domain")
    assert got["acc"] == pytest.approx(2.2 / 3)
    assert got["aia"] == pytest.approx((0.9 + 0.875 + 2.2 / 3) / 3)
    assert got["bwt"] == pytest.approx((-0.3 - 0.1) / 2)
    assert got["fwt"] == pytest.approx((0.1 + 0.1) / 2)
    assert got["learning_accuracy"] == pytest.approx(2.6 / 3)
    assert got["forgetting"] == pytest.approx((0.35 + 0.1) / 2)


def test_a_joint_baseline_has_an_average_accuracy_and_nothing_else():
    R = np.full((4, 4), NAN)
    R[-1] = [0.9, 0.8, 0.7, 0.6]
    got = metrics.summary(R, np.zeros(4), "domain")
    assert got.pop("acc") == pytest.approx(0.75)
    assert all(math.isnan(value) for value in got.values())


def test_forward_transfer_is_undefined_where_it_has_no_meaning():
    R, start = np.full((3, 3), 0.5), np.full(3, 0.1)
    assert metrics.summary(R, start, "domain")["fwt"] == pytest.approx(0.4)
    assert math.isnan(metrics.summary(R, start, "class")["fwt"])
    assert math.isnan(metrics.summary(R, start, "task", heads="multi")["fwt"])
    assert metrics.summary(R, start, "task", heads="single")["fwt"] == pytest.approx(0.4)
    assert math.isnan(metrics.forward_transfer(R, None))


def test_one_task_has_nothing_to_forget():
    got = metrics.summary([[0.9]], [0.1], "domain")
    assert got["acc"] == got["aia"] == got["learning_accuracy"] == 0.9
    assert math.isnan(got["bwt"])
    assert math.isnan(got["fwt"])
    assert math.isnan(got["forgetting"])


@pytest.mark.parametrize("R", [[0.1, 0.2], [[0.1, 0.2]], np.zeros((0, 0))])
def test_a_matrix_that_is_not_square_is_refused(R):
    with pytest.raises(ValueError, match="T×T"):
        metrics.average_accuracy(R)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="scenario"):
        metrics.summary([[1.0]], None, "online")
    with pytest.raises(ValueError, match="r_init"):
        metrics.forward_transfer(np.ones((2, 2)), [0.1])
