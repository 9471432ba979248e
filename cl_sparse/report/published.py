"""Our results beside numbers that others have published."""

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
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    acc: float = Field(ge=0, le=1)
    runs: int = Field(ge=1)
    rerun: float | None = Field(None, ge=0, le=1)
    settings: dict[str, Any] = Field(default_factory=dict)


class PublishedNumbers(BaseModel):
    """A file of published numbers: experiment → number, and where they come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    experiments: dict[str, PublishedNumber]
    settings: dict[str, Any] = Field(default_factory=dict)


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
    groups = group_results(results)
    lines: list[list[str]] = []
    notes: list[str] = []
    for name, number in published.experiments.items():
        ours = [group for group in groups if group.results[0][0]["name"] == name]
        for group in ours:
            deviations = _deviations(group, number)
            if deviations:
                notes.append(f"[{len(notes) + 1}] {name} was run here with {deviations}")
            lines.append(_line(group, number, f" [{len(notes)}]" if deviations else ""))
        if not ours:
            blank = [numbers.UNDEFINED] * len(_HEADS)
            lines.append([name, *blank[:3], _published(number), *blank[:4]])
    right = [head in ("ours: ACC", "seeds", "published", "difference", "live synapses", "seconds") for head in _HEADS]
    caption = f"ours: mean ± standard deviation over the seeds. Published: {published.source}."
    return markdown(_HEADS, lines, right) + "\n" + "  \n".join([caption, *notes]) + "\n"


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
