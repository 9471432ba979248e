"""Mixtures of two that are fitted to positive numbers, such as how much each unit of a layer varies."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import digamma, expit
from scipy.stats import expon, gamma, norm

MOST_STEPS = 100
NEGLIGIBLE = 1e-6  # a component of less weight or width is none
SHIFT = 1e-5  # the gamma density of 0 is 0 or infinite

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class ExponentialNormal:
    """π·Exp(x; scale) + (1 − π)·N(x; mean, std).

    Attributes:
        weight: π.
        steps: of expectation and maximisation.
    """

    weight: float
    scale: float
    mean: float
    std: float
    steps: int


@dataclass(frozen=True)
class TwoGammas:
    """π·Gamma(x; shape₁, scale₁) + (1 − π)·Gamma(x; shape₂, scale₂), of x + 1e-5.

    Attributes:
        weight: π.
        steps: of expectation and maximisation.
    """

    weight: float
    shapes: tuple[float, float]
    scales: tuple[float, float]
    steps: int


def fit_exponential_normal(x: ArrayLike) -> ExponentialNormal:
    """Fit units that hardly vary (exponential) beside units that do (normal), by expectation and maximisation.

    It starts with π = 1/2, the scale 1, and mean and std of all, and ends when π changes by less than 1e-6, after 100
    steps, or when a component is none: π = 0 if π or the scale falls below 1e-6, π = 1 if 1 − π or the std does.
    (Leclerc 2017, section 4. It finds more of the first kind than there are.)

    Args:
        x: positive numbers (n,), n at least 2.

    Raises:
        ValueError: there are fewer than two, or one is not positive and finite.
    """
    x = _checked(x)
    weight, scale, mean, std = 0.5, 1.0, float(x.mean()), float(x.std())
    for step in range(1, MOST_STEPS + 1):
        if std < NEGLIGIBLE:
            return ExponentialNormal(1.0, scale, mean, std, step - 1)
        first = _share_of_first(weight, expon.logpdf(x, scale=scale), norm.logpdf(x, mean, std))
        before, weight = weight, float(first.mean())
        if weight < NEGLIGIBLE:
            return ExponentialNormal(0.0, scale, mean, std, step)
        if 1 - weight < NEGLIGIBLE:
            return ExponentialNormal(1.0, scale, mean, std, step)
        scale = float(np.average(x, weights=first))
        mean = float(np.average(x, weights=1 - first))
        std = math.sqrt(np.average((x - mean) ** 2, weights=1 - first))
        if scale < NEGLIGIBLE:
            return ExponentialNormal(0.0, scale, mean, std, step)
        if abs(weight - before) < 1e-6:
            break
    return ExponentialNormal(weight, scale, mean, std, step)


def fit_two_gammas(x: ArrayLike) -> TwoGammas:
    """Fit units that hardly vary (shape 1/2 at first) beside units that do (shape 10), by expectation and maximisation.

    It starts with π = 1/2 and the scales 1 and mean/10, and ends when π changes by less than 1e-5, after 100 steps, or
    when π or 1 − π falls below 1e-6. A component's shape k solves ln k − ψ(k) = ln(mean x) − mean(ln x), its scale is
    mean/k, all means weighted. (Leclerc 2017, section 4. It may fit two modes that are both nearly normal.)

    Args:
        x: positive numbers (n,), n at least 2.

    Raises:
        ValueError: there are fewer than two, or one is not positive and finite.
    """
    x = _checked(x) + SHIFT
    weight, steps = 0.5, 0
    components = (0.5, 1.0), (10.0, float(x.mean()) / 10)
    while steps < MOST_STEPS:
        steps += 1
        logs = [gamma.logpdf(x, shape, scale=scale) for shape, scale in components]
        first = _share_of_first(weight, *logs)
        before, weight = weight, float(first.mean())
        if not NEGLIGIBLE <= weight <= 1 - NEGLIGIBLE:
            weight = float(round(weight))
            break
        components = _gamma_of(x, first), _gamma_of(x, 1 - first)
        if abs(weight - before) < 1e-5:
            break
    (shape_1, scale_1), (shape_2, scale_2) = components
    return TwoGammas(weight, (shape_1, shape_2), (scale_1, scale_2), steps)


def _checked(x: ArrayLike) -> Numbers:
    x = np.asarray(x, dtype=np.float64).ravel()
    if len(x) < 2 or not (np.isfinite(x) & (x > 0)).all():
        raise ValueError("a mixture is fitted to at least two numbers, all positive and finite")
    return x


def _share_of_first(weight: float, log_first: Numbers, log_second: Numbers) -> Numbers:
    """Return how likely each number is of the first component."""
    share: Numbers = expit(math.log(weight) - math.log1p(-weight) + log_first - log_second)
    return share


def _gamma_of(x: Numbers, weights: Numbers) -> tuple[float, float]:
    """Return shape and scale of the likeliest gamma distribution of weighted numbers."""
    mean = float(np.average(x, weights=weights))
    gap = max(math.log(mean) - float(np.average(np.log(x), weights=weights)), 1e-12)  # 0 if all are equal

    def excess(shape: float) -> float:
        return float(math.log(shape) - digamma(shape)) - gap

    # 1/(2k) < ln k − ψ(k) < 1/k
    shape = float(brentq(excess, 0.5 / gap * (1 - 1e-6), 1 / gap * (1 + 1e-6))) if gap > 1e-6 else 0.5 / gap
    return shape, mean / shape
