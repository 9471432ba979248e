"""Tables and figures of a study: any recorded number against any settings of a sweep, beside published numbers.

A study is a YAML file of parts by name, each for one ``<!-- results:begin study FILE PART -->``:

    grid_normal:
      experiments: [MixedHeb]                                       # names or shell patterns
      where: {plugins.dynamic_connectivity.grow: random}            # settings that results have to have
      numbers: {best epoch: per_epoch.test_accuracy.best, last epoch: per_epoch.test_accuracy.last}
      rows: plugins.dynamic_connectivity.drop.coactivation          # a pivot table of each number
      columns: plugins.dynamic_connectivity.drop.signed_magnitude
      published: {best epoch: {0: {0: 0.976, 0.2: 0.981}}}          # number, row, column

With ``compare: SETTING`` and ``values: [ONE, OTHER]`` in the place of ``columns`` it is a table of differences at the
same seeds, other minus one; with ``lines: SETTING`` in the place of both a figure of each number, a list, over epochs;
with ``images: SETTING`` a heat map of each number, a list of the pixels of a square image; with ``points: SETTING`` a
figure of the second number against the first, a point per run. ``drawn: true`` draws rows and columns as heat maps.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cl_sparse.config.identity import differing
from cl_sparse.config.wording import explain, near
from cl_sparse.config.yaml_files import read_mapping
from cl_sparse.errors import UserError
from cl_sparse.metrics import mean_std
from cl_sparse.report import numbers
from cl_sparse.report.rows import Result, group_results
from cl_sparse.report.settings import recorded, setting
from cl_sparse.report.table import markdown


class Part(BaseModel):
    """One table or figure; see the module."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiments: list[str] = Field(min_length=1)
    where: dict[str, Any] = {}
    numbers: dict[str, str] = Field(min_length=1)
    rows: str | None = None
    columns: str | None = None
    published: dict[str, dict[Any, dict[Any, float]]] = {}
    compare: str | None = None
    values: list[Any] = []
    lines: str | None = None
    images: str | None = None
    points: str | None = None
    drawn: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        figures = [setting is not None for setting in (self.lines, self.images, self.points)]
        kinds = [self.rows is not None and self.columns is not None, self.compare is not None, *figures]
        if sum(kinds) != 1 or (any(figures) and self.rows is not None):
            raise ValueError("rows and columns, or compare (and rows), or lines, or images, or points are needed")
        if self.drawn and self.columns is None:
            raise ValueError("drawn: rows and columns are needed")
        if self.points is not None and len(self.numbers) != 2:
            raise ValueError("points: two numbers are needed, the one across and the one upwards")
        if self.compare is not None and len(self.values) != 2:
            raise ValueError(f"values: two of {self.compare} are needed")
        unknown = [label for label in self.published if label not in self.numbers]
        if unknown:
            raise ValueError(f"published: {unknown[0]} is none of the numbers")
        return self


def load_part(path: Path, name: str) -> Part:
    """Return a part of a study.

    Raises:
        UserError: the file cannot be read, has no such part, or what it says is none.
    """
    content = read_mapping(path)
    if name not in content:
        raise UserError(f"{path}: no part {name!r}{near(name, content)}")
    try:
        return Part.model_validate(content[name])
    except ValidationError as failure:
        error = failure.errors()[0]
        place = ".".join(map(str, (name, *error["loc"])))
        raise UserError(f"{path}: {place}: {error.get('ctx', {}).get('error') or explain(error)}") from None


def study_table(results: Iterable[Result], part: Part) -> str:
    """Return a table of a study, as Markdown.

    For a part with ``lines`` see :mod:`cl_sparse.report.epochs`, for ``images`` :mod:`cl_sparse.report.images`, for
    ``points`` and what is ``drawn`` :mod:`cl_sparse.report.maps`.

    Raises:
        UserError: a cell would hold results of different settings, or a result lacks the number.
    """
    chosen = chosen_of(results, part)
    if part.compare is not None:
        return _differences(chosen, part)
    return "\n".join(_pivot(chosen, part, label) for label in part.numbers)


def chosen_of(results: Iterable[Result], part: Part) -> list[Result]:
    """Return the results that a part is about."""
    return [
        (config, stats)
        for config, stats in results
        if any(fnmatchcase(config["name"], pattern) for pattern in part.experiments)
        and all(setting(config, key) == value for key, value in part.where.items())
    ]


def by_setting(results: Iterable[Result], key: str | None) -> dict[Any, list[Result]]:
    """Return results by their value of a setting, sorted by it; all together for no setting."""
    found: dict[Any, list[Result]] = {}
    for config, stats in results:
        value = None if key is None else setting(config, key)
        found.setdefault(str(value) if isinstance(value, list | dict) else value, []).append((config, stats))
    return {value: found[value] for value in in_order(found)}


def of_seeds(results: Sequence[Result], path: str) -> tuple[dict[int, Any], int]:
    """Return a recorded number of each run that came to its end, by seed, and how many did not.

    Raises:
        UserError: the results are of different settings, or lack the number.
    """
    groups = group_results(results)
    if len(groups) > 1:
        keys = ", ".join(differing(groups[0].results[0][0], groups[1].results[0][0])) or "their data"
        raise UserError(f"{groups[0].label}: results that differ in {keys} would be averaged: say which under where")
    runs = groups[0].results if groups else []
    ended = [(config, stats) for config, stats in runs if stats.get("stopped") is None]
    try:
        found = {stats["seed"]: recorded(stats, path) for _, stats in ended}
    except KeyError:
        raise UserError(f"{groups[0].label}: a result has no number {path}") from None
    return found, len(runs) - len(ended)


def cells_of(results: Iterable[Result], part: Part, path: str) -> dict[tuple[Any, Any], tuple[list[Any], int]]:
    """Return a recorded number of each run, and how many did not come to their end, by row and column.

    Raises:
        UserError: as :func:`of_seeds`.
    """
    found = {}
    for row, of_row in by_setting(results, part.rows).items():
        for column, chosen in by_setting(of_row, part.columns).items():
            of_cell, stopped = of_seeds(chosen, path)
            found[row, column] = list(of_cell.values()), stopped
    return found


def _pivot(results: Sequence[Result], part: Part, label: str) -> str:
    assert part.rows is not None
    assert part.columns is not None
    published = part.published.get(label, {})
    cells = cells_of(results, part, part.numbers[label])
    rows = in_order({row for row, _ in cells} | set(published))
    columns = in_order({column for _, column in cells} | {column for row in published.values() for column in row})
    if not rows:
        return f"{label}: not run.\n"
    lines = [
        [shown(row), *(_cell(*cells.get((row, c), ([], 0)), published.get(row, {}).get(c)) for c in columns)]
        for row in rows
    ]
    failed = sum(stopped for _, stopped in cells.values())
    heads = [f"{last_word(part.rows)} \\ {last_word(part.columns)}", *map(shown, columns)]
    beside = " In brackets: published." if published else ""
    runs = f"{len(results) - failed} runs, {failed} failed"
    caption = f"{label}: mean ± standard deviation over the seeds, {runs}.{beside}"
    return markdown(heads, lines, [True] * len(heads)) + f"\n{caption}\n"


def _differences(results: Sequence[Result], part: Part) -> str:
    assert part.compare is not None
    lines = []
    for row, of_row in by_setting(results, part.rows).items():
        sides = by_setting(of_row, part.compare)
        for label, path in part.numbers.items():
            (one, failed), (other, also) = (of_seeds(sides.get(value, []), path) for value in part.values)
            seeds = sorted(one.keys() & other.keys())
            differences = [other[seed] - one[seed] for seed in seeds]
            low, high = interval(differences)
            lines.append(
                [
                    *([] if part.rows is None else [shown(row)]),
                    label,
                    *(numbers.spread(mean_std(side[seed] for seed in seeds)) for side in (one, other)),
                    numbers.signed(mean_std(differences).mean),
                    f"{numbers.signed(low)} to {numbers.signed(high)}",
                    "above" if low > 0 else "below" if high < 0 else "not significant",
                    f"{len(seeds)}" + (f" ({failed + also} failed)" if failed + also else ""),
                ]
            )
    first = [] if part.rows is None else [last_word(part.rows)]
    if not lines:
        return f"{', '.join(part.numbers)}: not run.\n"
    heads = [*first, "number", *map(shown, part.values), "difference", "95 % interval", "verdict", "pairs"]
    one_value, other_value = map(shown, part.values)
    caption = f"{last_word(part.compare)}: {other_value} minus {one_value} at the same seeds; bootstrap over the seeds."
    return markdown(heads, lines, [head not in ("number", "verdict") for head in heads]) + f"\n{caption}\n"


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the 95 % bootstrap interval (percentiles) of the mean; NaN for fewer than two numbers."""
    from scipy.stats import bootstrap

    if len(differences) < 2:
        return float("nan"), float("nan")
    found = bootstrap((np.asarray(differences),), np.mean, method="percentile", rng=np.random.default_rng(0))
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _cell(found: list[float], stopped: int, published: float | None) -> str:
    ours = numbers.spread(mean_std(found)) if found else numbers.UNDEFINED
    failed = f" ({stopped} failed)" if stopped else ""
    return ours + failed + (f" [{numbers.accuracy(published)}]" if published is not None else "")


def in_order(values: Iterable[Any]) -> list[Any]:
    """Return values of a setting as they are ordered in tables and figures: without a value, numbers, words."""
    return sorted(values, key=lambda value: (isinstance(value, str), value is not None, value))


def shown(value: Any) -> str:
    """Return a setting's value as it is written in tables and figures."""
    return f"{value:g}" if isinstance(value, float) else numbers.UNDEFINED if value is None else str(value)


def last_word(key: str) -> str:
    """Return a setting's own name, without what it is of."""
    return key.rsplit(".", 1)[-1]
