"""The searches for winners, against a sort of all pre-activations."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_sparse.kernels.arrays import Active, Entries, Found, Weights
from cl_sparse.kernels.background import compress, product, search_over_background
from cl_sparse.kernels.winner_search import search, search_among_active

Array = np.ndarray[Any, Any]
DTYPES = {np.float32: 2e-5, np.float64: 1e-12}


def check(find: Callable[..., bool], z: Array, factor: Array, k: int, tolerance: float) -> None:
    """Compare what ``find`` finds with the k largest z·factor of each row of z."""
    winners, kept = np.empty((len(z), k), np.int64), np.empty((len(z), k), z.dtype)
    rate = np.empty(z.shape[1], z.dtype)
    enough = find(factor, Found(winners, kept, rate))
    ranking = z * factor
    best = -np.sort(-ranking, axis=1)
    gaps = best[:, k - 1 : k] - best[:, k : k + 1]
    if (np.abs(gaps) > tolerance).all():
        assert enough
    if tolerance == 0 and (gaps == 0).any():
        assert not enough
    if not enough:
        return
    found = -np.sort(-np.take_along_axis(ranking, winners, 1), axis=1)
    np.testing.assert_allclose(found, best[:, :k], rtol=0, atol=tolerance)
    np.testing.assert_allclose(kept, np.take_along_axis(z, winners, 1), rtol=0, atol=tolerance)
    assert all(len(set(row)) == k for row in winners)
    if len(z):
        on = np.zeros_like(z)
        np.put_along_axis(on, winners, kept > 0, axis=1)
        np.testing.assert_allclose(rate, on.mean(0), rtol=0, atol=1e-6)


sizes = {"batch": st.integers(0, 5), "n": st.integers(2, 700), "k": st.integers(1, 30), "seed": st.integers(0, 99)}


@given(**sizes, parts=st.integers(1, 5), coarse=st.booleans())
def test_search_is_topk_or_says_that_it_is_not_enough(batch: int, n: int, k: int, parts: int, coarse: bool, seed: int):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((batch, n))
    z = z.round() if coarse else z
    check(lambda *found: search(parts, z, *found), z, rng.random(n).round(1), min(k, n - 1), tolerance=0)


@pytest.mark.parametrize("dtype", DTYPES)
@given(**sizes, parts=st.integers(1, 5))
def test_search_over_a_background(dtype: type, batch: int, n: int, k: int, seed: int, parts: int):
    rng = np.random.default_rng(seed)
    x = np.where(rng.random((batch, 150)) < 0.8, -0.4, rng.standard_normal((batch, 150))).astype(dtype)
    weight, bias, factor = (rng.standard_normal(shape).astype(dtype) for shape in ((150, n), n, n))
    ends, columns, entries = np.empty(batch + 1, np.int64), np.empty(x.size, np.int64), np.empty(x.size, dtype)
    level = dtype(-0.4)
    compressed, linear = Entries(ends, columns, entries, level), Weights(weight, bias)
    assert compress(x, compressed)
    tolerance = 100 * DTYPES[dtype]
    check(
        lambda *found: search_over_background(parts, compressed, linear, *found),
        x @ weight + bias,
        factor,
        min(k, n - 1),
        tolerance,
    )
    out = np.empty((batch, n), dtype)
    product(compressed, linear, out)
    np.testing.assert_allclose(out, x @ weight + bias, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@given(**sizes, on=st.integers(0, 20))
def test_search_among_active_inputs(dtype: type, batch: int, n: int, k: int, seed: int, on: int):
    rng = np.random.default_rng(seed)
    indices = rng.permuted(np.tile(np.arange(50), (batch, 1)), axis=1)[:, :on]
    inputs = rng.standard_normal(indices.shape).astype(dtype)
    x = np.zeros((batch, 50), dtype)
    some = rng.random(indices.shape) < 0.5
    np.put_along_axis(x, indices, np.where(some, inputs, 0), axis=1)
    weight, bias, factor = (rng.standard_normal(shape).astype(dtype) for shape in ((50, n), n, n))
    given = 2, Active(np.where(some, indices, -1), inputs), Weights(weight, bias)
    z = x @ weight + bias
    check(lambda *found: search_among_active(*given, *found), z, factor, min(k, n - 1), 100 * DTYPES[dtype])


def test_search_sees_what_is_not_a_number():
    x = np.ones((2, 70), np.float32) * np.arange(70, dtype=np.float32)
    found = Found(np.empty((2, 3), np.int64), np.empty((2, 3), np.float32), np.empty(70, np.float32))
    rest = np.ones(70, np.float32), found
    assert search(2, x, *rest)
    x[1, 2] = np.nan
    assert not search(2, x, *rest)


def test_entries_that_have_no_room_are_not_written():
    x = np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])
    ends, columns, entries = np.empty(3, np.int64), np.full(2, 7), np.full(2, 7.0)
    assert not compress(x, Entries(ends, columns, entries, 0.0))
    assert columns.tolist() == entries.tolist() == [7, 7]
    columns, entries = np.empty(3, np.int64), np.empty(3)
    assert compress(x, Entries(ends, columns, entries, 0.0))
    assert (ends.tolist(), columns.tolist(), entries.tolist()) == ([0, 2, 3], [1, 2, 0], [1.0, 2.0, 3.0])
