"""Spaces: which values the parameters of a sweep may take."""

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

Point = dict[str, Any]  # parameter -> value

_MOST, _MOST_WHOLE = 1e100, 1e15  # beyond them, differences of ends are more than numbers hold
_MOST_PARTS = 10_000


class Dimension(BaseModel):
    """One parameter's values: a list to choose from, or a range; there only ``when`` other parameters have some value.

    Attributes:
        choose: the values, all of which a grid takes.
        low, high: ends of a range, both in it, to draw from.
        log: draw its logarithm evenly.
        integer: draw whole numbers.
        when: parameter -> value, or list of values, that it must have; earlier in the space, or of the experiment.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    choose: list[Any] | None = Field(None, min_length=1, max_length=1000)
    low: float | None = None
    high: float | None = None
    log: bool = False
    integer: bool = False
    when: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _list_of_choices(cls, given: Any) -> Any:
        _check_size(given)
        return {"choose": given} if isinstance(given, list) else given

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.choose is not None:
            if self.low is not None or self.high is not None or self.log or self.integer:
                raise ValueError("choose goes with none of low, high, log and integer")
            if any(value in self.choose[:i] for i, value in enumerate(self.choose)):
                raise ValueError("a value is there twice")
            return self
        if self.low is None or self.high is None:
            raise ValueError("a list of values, or low and high, is needed")
        if not self.low < self.high:
            raise ValueError(f"low is {self.low:g}: less than high, {self.high:g}, is needed")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low:g}: with log it must be above 0")
        if max(abs(self.low), abs(self.high)) > (_MOST_WHOLE if self.integer else _MOST):
            raise ValueError(f"the ends of a range must be within ±{_MOST_WHOLE if self.integer else _MOST:g}")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError("low and high of whole numbers must be whole")
        return self

    def applies(self, point: Mapping[str, Any], fixed: Callable[[str], Any]) -> bool:
        """Return whether the parameter is there, given those before it."""
        for key, wanted in self.when.items():
            value = point[key] if key in point else fixed(key)
            if value not in (wanted if isinstance(wanted, list) else [wanted]):
                return False
        return True

    def draw(self, generator: np.random.Generator) -> Any:
        """Return one value."""
        if self.choose is not None:
            return self.choose[int(generator.integers(len(self.choose)))]
        low, high = self.ends()
        if self.integer and not self.log:
            return int(generator.integers(int(low), int(high), endpoint=True))
        value = float(
            np.exp(generator.uniform(np.log(low), np.log(high))) if self.log else generator.uniform(low, high)
        )
        return min(max(round(value), round(low)), round(high)) if self.integer else float(f"{value:.4g}")

    def said(self) -> str:
        """Return it as tables show it."""
        condition = "".join(f" when {key}={value}" for key, value in self.when.items())
        if self.choose is not None:
            return ", ".join(map(str, self.choose)) + condition
        low, high = self.ends()
        return f"{low:g} to {high:g}{' (log)' if self.log else ''}{condition}"

    def ends(self) -> tuple[float, float]:
        """Return the ends of a range."""
        assert self.low is not None
        assert self.high is not None
        return self.low, self.high


def _check_size(given: Any) -> None:
    """Refuse what holds itself, or stands for far more than is written, as YAML's aliases can."""
    left, parts = [given], 0
    while left:
        value, parts = left.pop(), parts + 1
        if parts > _MOST_PARTS:
            raise ValueError(f"holds more than {_MOST_PARTS} parts")
        if isinstance(value, dict):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            left += value


Space = dict[str, Dimension]


def grid(space: Space, fixed: Callable[[str], Any]) -> list[Point]:
    """Return every combination of the values, the last parameter changing fastest.

    Args:
        space: of choices only.
        fixed: gives the value of a parameter that is not in the space.
    """
    points: list[Point] = [{}]
    for key, dimension in space.items():
        points = [
            {**point, key: value} if applies else point
            for point in points
            for applies in [dimension.applies(point, fixed)]
            for value in ((dimension.choose or []) if applies else [None])
        ]
    return points


def draw(space: Space, fixed: Callable[[str], Any], generator: np.random.Generator) -> Point:
    """Return one point, drawn."""
    point: Point = {}
    for key, dimension in space.items():
        if dimension.applies(point, fixed):
            point[key] = dimension.draw(generator)
    return point


def said(space: Space) -> str:
    """Return a space as tables show it."""
    return "; ".join(f"{key}: {dimension.said()}" for key, dimension in space.items()) or "nothing"
