"""Searches: each proposes the points of one experiment."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from cl_sparse.config import ExperimentConfig
from cl_sparse.config.identity import short_hash
from cl_sparse.errors import UserError
from cl_sparse.seeding import derive_seed
from cl_sparse.sweep.space import Point, Space, draw, grid
from cl_sparse.sweep.spec import Sweep

_DRAWS = 1000  # in vain, until a space is taken for exhausted


class Search(Protocol):
    """Proposes points.

    Attributes:
        n_points: how many.
    """

    n_points: int

    def ask(self) -> Point | None:
        """Return the next point; None: no more."""

    def tell(self, point: Point, value: float) -> None:
        """Take note of what a point is worth; NaN if it came to nothing."""


class Listed:
    """Points that are known before the first one runs."""

    def __init__(self, points: list[Point]) -> None:
        """Begin with the first."""
        self.n_points = len(points)
        self._next = iter(points)

    def ask(self) -> Point | None:
        """Return the next point; None: no more."""
        return next(self._next, None)

    def tell(self, point: Point, value: float) -> None:
        """Do nothing: the points do not depend on it."""


class Proposed:
    """Points that Optuna's TPE sampler proposes, after those whose worth it has been told (Bergstra et al. 2011).

    Points asked for while others run depend on which were finished first: only with one job is their order repeatable.
    """

    def __init__(self, space: Space, fixed: Callable[[str], Any], n: int, seed: int, *, maximize: bool) -> None:
        """Propose ``n`` points."""
        try:
            import optuna
        except ImportError:
            raise UserError("search: optuna is not installed: pip install -r requirements-sweep.txt") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._fixed = space, fixed
        self.n_points = self._left = n
        sampler = optuna.samplers.TPESampler(seed=seed % 2**32)
        self._study = optuna.create_study(sampler=sampler, direction="maximize" if maximize else "minimize")
        self._failed = optuna.trial.TrialState.FAIL
        self._asked: list[tuple[Point, Any]] = []

    def ask(self) -> Point | None:
        """Return the next point; None: no more."""
        if self._left == 0:
            return None
        self._left -= 1
        trial, point = self._study.ask(), Point()
        for key, dimension in self._space.items():
            if not dimension.applies(point, self._fixed):
                continue
            if dimension.choose is not None:
                place = trial.suggest_categorical(key, list(range(len(dimension.choose))))
                point[key] = dimension.choose[place]
            elif dimension.integer:
                point[key] = trial.suggest_int(
                    key, int(dimension.low or 0), int(dimension.high or 0), log=dimension.log
                )
            else:
                value = trial.suggest_float(key, dimension.low or 0.0, dimension.high or 0.0, log=dimension.log)
                point[key] = float(f"{value:.4g}")
        self._asked.append((point, trial))
        return point

    def tell(self, point: Point, value: float) -> None:
        """Take note of what a point is worth; NaN if it came to nothing."""
        place = next(i for i, (asked, _) in enumerate(self._asked) if asked == point)
        _, trial = self._asked.pop(place)
        if np.isnan(value):
            self._study.tell(trial, state=self._failed)
        else:
            self._study.tell(trial, value)


def search_of(sweep: Sweep, experiment: str, config_at: Callable[[Point], ExperimentConfig]) -> Search:
    """Return the search of one experiment.

    Args:
        sweep: the sweep.
        experiment: its name.
        config_at: gives the checked config at a point.

    Raises:
        UserError: a point makes no experiment, or the space has another number of points than are wanted.
    """
    space, base = sweep.space_of(experiment), config_at({})
    wanted = sweep.points_wanted
    place = f"{sweep.file}: {experiment}"

    def fixed(key: str) -> Any:
        if key not in type(base).model_fields:
            raise UserError(f"{place}: when {key}: neither an earlier parameter of the space nor one of the experiment")
        return getattr(base, key)

    if sweep.search == "grid":
        points = list(_distinct(grid(space, fixed), config_at))
        if wanted is not None and len(points) != wanted:
            found = f"its grid has {len(points)} point{'s' * (len(points) != 1)}" if space else "it has no space"
            raise UserError(
                f"{place}: {found}, and trials are {wanted}, the same for every experiment: change the space or "
                "trials, or choose search random"
            )
        return Listed(points)
    assert wanted is not None
    if sweep.search == "random":
        return Listed(_drawn(place, space, fixed, wanted, sweep.search_seed, experiment, config_at))
    _check_ends(space, config_at)
    seed = derive_seed(sweep.search_seed, "optuna", experiment)
    maximize = sweep.select is None or sweep.select.metric != "forgetting"
    return Proposed(space, fixed, wanted, seed, maximize=maximize)


def _check_ends(space: Space, config_at: Callable[[Point], ExperimentConfig]) -> None:
    """Refuse a range that goes beyond what its parameter may be, which a point proposed later would come upon."""
    for key, dimension in space.items():
        for end in dimension.ends() if dimension.choose is None else ():
            try:
                config_at({key: int(end) if dimension.integer else end})
            except UserError as error:
                if "out of range" in str(error):  # anything else may hang together with other parameters
                    raise


def _distinct(points: list[Point], config_at: Callable[[Point], ExperimentConfig]) -> Iterator[Point]:
    """Leave out points that make the same experiment as one before."""
    seen: set[str] = set()
    for point in points:
        key = short_hash(config_at(point).identity())
        if key not in seen:
            seen.add(key)
            yield point


def _drawn(
    place: str,
    space: Space,
    fixed: Callable[[str], Any],
    wanted: int,
    seed: int,
    experiment: str,
    config_at: Callable[[Point], ExperimentConfig],
) -> list[Point]:
    """Return distinct points; those of a smaller number are the first of those of a larger one."""
    points: dict[str, Point] = {}
    tries = 0
    for number in range(wanted * _DRAWS):
        point = draw(space, fixed, np.random.default_rng(derive_seed(seed, "point", experiment, number)))
        key = short_hash(config_at(point).identity())
        tries = 0 if key not in points else tries + 1
        points.setdefault(key, point)
        if len(points) == wanted:
            return list(points.values())
        if tries == _DRAWS:
            break
    raise UserError(f"{place}: its space seems to have {len(points)} points only, and trials are {wanted}")
