"""Our results beside numbers that others have published."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cl_sparse.config.identity import with_defaults
from cl_sparse.config.yaml_files import YamlError, parse
from cl_sparse.errors import UserError
from cl_sparse.report import numbers
from cl_sparse.report.rows import Group, Result, group_results, row_of
from cl_sparse.report.table import markdown, seeds, task_info

_HEADS = (
    "experiment",
    "scenario, heads, task info train/test",
    "ours: ACC",
    "seeds",
    "published",
    "difference",
    "live synapses",
    "epochs",
    "seconds",
)


class PublishedNumber(BaseModel):
    """One published number.

    Attributes:
        acc: mean of the last row of the accuracy matrix.
        runs: how many runs that is the mean of.
        rerun: the same settings, run again with another seed.
        settings: parameters it was measured with.
        source: where it comes from, if not from where the others do.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    acc: float = Field(ge=0, le=1)
    runs: int = Field(ge=1)
    rerun: float | None = Field(None, ge=0, le=1)
    settings: dict[str, Any] = Field(default_factory=dict)
    source: str = ""


class PublishedNumbers(BaseModel):
    """A file of published numbers: experiment → number, and where they come from.

    Attributes:
        tolerance: a difference up to which a number counts as reproduced; None: no verdict is given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    experiments: dict[str, PublishedNumber]
    settings: dict[str, Any] = Field(default_factory=dict)
    tolerance: float | None = Field(None, gt=0, lt=1)


def load_published(path: Path) -> PublishedNumbers:
    """Read a file of published numbers.

    Raises:
        UserError: it is absent, not YAML, or does not hold what it should.
    """
    try:
        return PublishedNumbers.model_validate(parse(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}") from error
    except (YamlError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML ({error})") from error


def published_table(results: Iterable[Result], published: PublishedNumbers) -> str:
    """Ours beside published, as Markdown: one line per published number, a dash where ours has not been run.

    A result counts for a number by the experiment's name. Where its settings are not those of the number, the
    experiment is marked and the settings stand below the table.

    Args:
        results: ``(config, stats)`` of any number of runs.
        published: the numbers.
    """
    groups = group_results(r for r in results if r[0]["name"] in published.experiments)
    lines: list[list[str]] = []
    notes: list[str] = []
    heads = list(_HEADS) + (["verdict", "source"] if published.tolerance else [])
    for name, number in published.experiments.items():
        ours = [group for group in groups if group.results[0][0]["name"] == name]
        for group in ours:
            deviations = _deviations(group, number)
            if deviations:
                notes.append(f"[{len(notes) + 1}] {name} was run here with {deviations}")
            line = _line(group, number, f" [{len(notes)}]" if deviations else "")
            lines.append(line + _verdict(row_of(group).acc.mean - number.acc, number, published))
        if not ours:
            blank = [numbers.UNDEFINED] * len(_HEADS)
            lines.append([name, *blank[:3], _published(number), *blank[:4], *_verdict(math.nan, number, published)])
    right = [head in ("ours: ACC", "seeds", "published", "difference", "live synapses", "seconds") for head in heads]
    caption = f"ours: mean ± standard deviation over the seeds. Published: {published.source}."
    return markdown(heads, lines, right) + "\n" + "  \n".join([caption, *notes]) + "\n"


def _line(group: Group, number: PublishedNumber, mark: str) -> list[str]:
    row = row_of(group)
    return [
        row.experiment + mark,
        f"{row.scenario}, {row.heads}, {task_info(row)}",
        numbers.spread(row.acc),
        seeds(row),
        _published(number),
        numbers.signed(row.acc.mean - number.acc),
        numbers.count(row.live_synapses),
        row.epochs,
        numbers.seconds(row.seconds),
    ]


def _verdict(difference: float, number: PublishedNumber, published: PublishedNumbers) -> list[str]:
    if published.tolerance is None:
        return []
    source = number.source or published.source
    if math.isnan(difference):
        return ["not run", source]
    if abs(round(difference, 3)) <= published.tolerance:
        return ["reproduced", source]
    return ["above" if difference > 0 else "below", source]


def _published(number: PublishedNumber) -> str:
    runs = "1 run" if number.runs == 1 else f"{number.runs} runs"
    rerun = "" if number.rerun is None else f"; re-run {numbers.accuracy(number.rerun)}"
    return f"{numbers.accuracy(number.acc)} ({runs}{rerun})"


def _deviations(group: Group, number: PublishedNumber) -> str:
    config = with_defaults(group.results[0][0])
    return ", ".join(
        f"{key} {config.get(key)} (published: {value})"
        for key, value in number.settings.items()
        if config.get(key) != value
    )
