"""The file that describes a sweep.

    description: learning rate and penalty, tuned alike
    experiments: [digits_synaptic_intelligence, quickstart_dense]     # names or shell patterns
    set: {train_subset: 1000}                                        # in every one of them
    space:                                                           # of every one of them
        lr: [0.02, 0.05, 0.1]
    spaces:                                                          # of one of them, beside that
        digits_synaptic_intelligence:
            plugins.synaptic_intelligence.c: {low: 0.1, high: 10, log: true}
    search: random
    select: {metric: acc, seeds: [100, 101, 102], trials: 12, finalists: 4}     # on validation data
    report: {seeds: [0, 1, 2, 3, 4]}                                 # the winner, on test data

Without ``select`` and ``report`` every point runs with each of ``seeds``.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from cl_sparse.config.wording import explain, near
from cl_sparse.config.yaml_files import read_mapping, shown
from cl_sparse.errors import UserError
from cl_sparse.sweep.space import Dimension, Space

MOST_TRIALS = 100_000
METRICS = ("acc", "aia", "bwt", "learning_accuracy", "forgetting")
LESS_IS_BETTER = frozenset({"forgetting"})


def _each_once(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed is there twice")
    return seeds


Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=1), AfterValidator(_each_once)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Select(_Part):
    """How the best point is chosen.

    Attributes:
        metric: of the accuracies on the validation split, mean over the seeds.
        split: never the test split.
        share: of each task's training samples held out to validate on, where the experiment holds out none.
        seeds: none of the reported ones.
        trials: points tried of each experiment, the same for all.
        finalists: points that run with all seeds, the best ones with the first seed; None: all points do. Leaving early
            what is clearly behind is racing (Maron and Moore 1994; Birattari et al. 2002), with one elimination.
    """

    metric: Literal["acc", "aia", "bwt", "learning_accuracy", "forgetting"] = "acc"
    split: Literal["validation"] = "validation"
    share: float = Field(0.1, gt=0, lt=1)
    seeds: Seeds
    trials: int = Field(ge=1, le=MOST_TRIALS)
    finalists: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _are_some_of_them(self) -> Self:
        if self.finalists is not None and self.finalists >= self.trials:
            raise ValueError(
                f"finalists must be fewer than the {self.trials} trials, or left out, not {self.finalists}"
            )
        if self.finalists is not None and len(self.seeds) == 1:
            raise ValueError("finalists run with the seeds after the first, and there is one seed only")
        return self


class Report(_Part):
    """The seeds that the best point is tested with."""

    seeds: Seeds


class Sweep(_Part):
    """A sweep, as its file has it.

    Attributes:
        name: of the file.
        file: as messages show it.
        experiments: names or shell patterns.
        settings: parameters set in every experiment, under ``set`` in the file.
        space, spaces: values of parameters, for all experiments and beside that for single ones.
        search: every point of a grid, points drawn, or points that Optuna proposes after those it has seen.
        search_seed: what they are drawn from.
        scheduler: what may stop trials early, by their validation accuracy after each task; Ray's ASHA.
        trials: points of each experiment; with ``select``, it has them.
        seeds: of every point; with ``select``, it and ``report`` have them.
    """

    name: str = ""
    file: str = ""
    description: str = ""
    experiments: list[str] = Field(min_length=1)
    settings: dict[str, Any] = Field({}, alias="set")
    space: Space = {}
    spaces: dict[str, Space] = {}
    search: Literal["grid", "random", "optuna"] = "grid"
    search_seed: int = Field(0, ge=0)
    scheduler: Literal["asha"] | None = None
    trials: int | None = Field(None, ge=1, le=MOST_TRIALS)
    seeds: Seeds | None = None
    select: Select | None = None
    report: Report | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if (self.select is None) is not (self.report is None):
            raise ValueError("select and report go together: one chooses, the other tests what was chosen")
        if self.scheduler is not None and self.select is None:
            raise ValueError("a scheduler needs select and report: without, it would choose on test data")
        if self.select is not None and self.report is not None:
            both = sorted({*self.select.seeds} & {*self.report.seeds})
            if both:
                raise ValueError(f"select.seeds and report.seeds share {both[0]}: choose on streams of their own")
            if self.seeds is not None or self.trials is not None:
                raise ValueError("seeds and trials stand in select and report")
        elif self.search == "optuna":
            raise ValueError("search optuna needs select and report: without, it would choose on test data")
        elif self.seeds is None:
            raise ValueError("seeds are missing: a list, for example [0, 1, 2]; or select and report")
        elif self.search != "grid" and self.trials is None:
            raise ValueError(f"trials are missing: how many points search {self.search} takes of each experiment")
        return self

    @property
    def points_wanted(self) -> int | None:
        """Points of each experiment; None: all of the grid."""
        return self.select.trials if self.select is not None else self.trials

    @property
    def point_seeds(self) -> list[int]:
        """The seeds that each point runs with, or each finalist where there are finalists."""
        return self.select.seeds if self.select is not None else self.seeds or []

    @property
    def first_seeds(self) -> list[int]:
        """The seeds that each point runs with, whatever it is worth."""
        return self.point_seeds[:1] if self.select is not None and self.select.finalists else self.point_seeds

    def space_of(self, experiment: str) -> Space:
        """Return the space of one experiment."""
        return {**self.space, **self.spaces.get(experiment, {})}


def load_sweep(path: Path) -> Sweep:
    """Read a sweep's file.

    Raises:
        UserError: it cannot be read, or what it says is no sweep; one line with the place in it.
    """
    content = read_mapping(path)
    file = shown(path)
    if not path.stem.strip("."):
        raise UserError(f"{file}: a sweep goes by its file's name, which {path.stem!r} is none: rename it")
    for key in ("name", "file", "settings"):
        if key in content:
            raise UserError(f"{file}: {key}: unknown key{near(key, _keys())}")
    try:
        sweep = Sweep.model_validate({**content, "name": path.stem, "file": file})
    except ValidationError as failure:
        raise UserError(f"{file}: {_first_fault(failure)}") from None
    for place, space in {"space": sweep.space, **{f"spaces.{name}": s for name, s in sweep.spaces.items()}}.items():
        _check_grid(f"{file}: {place}", sweep.search, space.items())
    if sweep.search == "grid":
        size = max(_points(sweep.space_of(name)) for name in ("", *sweep.spaces))
        if size > MOST_TRIALS:
            raise UserError(f"{file}: space: a grid of {size} points is too large: {MOST_TRIALS} are the most")
    return sweep


def _points(space: Space) -> int:
    return math.prod(len(dimension.choose or [None]) for dimension in space.values())


def _check_grid(place: str, search: str, space: Iterable[tuple[str, Dimension]]) -> None:
    for key, dimension in space:
        if search == "grid" and dimension.choose is None:
            raise UserError(
                f"{place}.{key}: a range has no end of points: list some, or choose search random or optuna"
            )


def _first_fault(failure: ValidationError) -> str:
    error = failure.errors()[0]
    where = ".".join(str(part) for part in error["loc"] if part not in ("function-after", "function-before"))
    if error["type"] == "extra_forbidden":
        known = _keys() if len(error["loc"]) == 1 else ()
        return f"{where}: unknown key{near(error['loc'][-1], known)}"
    problem = str(error.get("ctx", {}).get("error") or explain(error))
    return f"{where}: {problem}" if where else problem


def _keys() -> list[str]:
    return [field.alias or name for name, field in Sweep.model_fields.items() if name not in ("name", "file")]
