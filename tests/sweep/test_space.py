"""Spaces: grids hold every combination once, draws stay inside, and conditions hold."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cl_sparse.sweep.space import Dimension, draw, grid, said

CHOICES = st.lists(st.integers(-5, 5), min_size=1, max_size=4, unique=True)


def space(**dimensions: object) -> dict[str, Dimension]:
    return {key: Dimension.model_validate(given) for key, given in dimensions.items()}


def nothing_else(key: str) -> object:
    raise AssertionError(f"{key} was looked up")


@given(st.lists(CHOICES, max_size=4))
def test_a_grid_is_the_product(lists):
    made = space(**{f"p{i}": values for i, values in enumerate(lists)})
    expected = [dict(zip(made, values, strict=True)) for values in product(*lists)]
    assert grid(made, nothing_else) == expected


@given(CHOICES, CHOICES, CHOICES)
def test_a_conditional_parameter_is_there_when_its_condition_holds(first, second, wanted):
    made = space(a=first, b={"choose": second, "when": {"a": wanted, "of_the_experiment": True}})
    points = grid(made, lambda key: key == "of_the_experiment")
    assert points == [
        point for a in first for point in ([{"a": a, "b": b} for b in second] if a in wanted else [{"a": a}])
    ]
    assert grid(made, lambda _: False) == [{"a": a} for a in first]


@given(st.integers(0, 99), st.floats(1e-3, 10), st.floats(1.01, 1000), st.booleans())
def test_draws_stay_inside(seed, low, factor, log):
    high = low * factor
    made = space(x={"low": low, "high": high, "log": log}, n={"low": 2.0, "high": 5.0, "integer": True, "log": log})
    point = draw(made, nothing_else, np.random.default_rng(seed))
    assert low * (1 - 1e-3) <= point["x"] <= high * (1 + 1e-3)  # four digits are kept
    assert point["n"] in (2, 3, 4, 5)
    assert isinstance(point["n"], int)
    assert draw(made, nothing_else, np.random.default_rng(seed)) == point


def test_a_logarithm_is_drawn_evenly():
    made = space(x={"low": 1e-4, "high": 1.0, "log": True})
    drawn = [draw(made, nothing_else, np.random.default_rng(i))["x"] for i in range(2000)]
    assert abs(np.mean([math.log10(x) for x in drawn]) + 2) < 0.1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"low": 1.0}, "a list of values, or low and high"),
        ({"low": 2.0, "high": 1.0}, "less than high"),
        ({"low": 0.0, "high": 1.0, "log": True}, "above 0"),
        ({"low": 0.5, "high": 1.0, "integer": True}, "must be whole"),
        ({"choose": [1], "log": True}, "goes with none of"),
        ([1, 1], "there twice"),
        ([], "at least 1"),
    ],
)
def test_impossible_dimensions(given, words):
    with pytest.raises(ValidationError, match=words):
        Dimension.model_validate(given)


def test_what_tables_show():
    made = space(lr={"low": 0.1, "high": 1.0, "log": True}, k={"choose": [1, 2], "when": {"lr": 1}})
    assert said(made) == "lr: 0.1 to 1 (log); k: 1, 2 when lr=1"
    assert said({}) == "nothing"
