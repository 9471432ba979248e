"""Methods tuned alike by one sweep, as a table: what each reached, and what was searched for it and chosen."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from cl_sparse.config.yaml_files import read_mapping
from cl_sparse.errors import UserError
from cl_sparse.report import numbers
from cl_sparse.report.rows import Group, Result, group_results, row_of
from cl_sparse.report.settings import setting
from cl_sparse.report.table import markdown, seeds, task_info

_HEADS = (
    "method",
    "task info train/test",
    "ACC",
    "BWT",
    "forgetting",
    "seeds",
    "carried bytes",
    "parameters",
    "live synapses",
    "epochs",
    "seconds",
    "chosen",
    "searched",
)
_TEXT = ("method", "task info train/test", "epochs", "chosen", "searched")


def tuned_table(results: Iterable[Result], sweep: Path) -> str:
    """Return the methods of a sweep as Markdown, the best first.

    Args:
        results: ``(config, stats)`` of any number of runs; those count whose experiments the sweep names.
        sweep: its file.

    Raises:
        UserError: the file cannot be read, or is no sweep that chooses.
    """
    content = read_mapping(sweep)
    if not all(key in content for key in ("experiments", "select", "report")):
        raise UserError(f"{sweep}: not a sweep that chooses: experiments, select and report are needed")
    names = content["experiments"]
    chosen = [result for result in results if any(fnmatchcase(_untuned(result), name) for name in names)]
    groups = group_results(chosen)
    groups.sort(key=lambda group: -row_of(group).acc.mean)
    prefix = _beginning([_untuned(group.results[0]) for group in groups])
    lines = [_line(group, prefix, content) for group in groups]
    select = content["select"]
    said = ", ".join(map(str, select["seeds"]))
    first, finalists = select["seeds"][0], select.get("finalists")
    runs = f"× seeds {said}" if finalists is None else f"with seed {first}, the {finalists} best of them with {said}"
    caption = (
        f"mean ± standard deviation over the seeds. Each method was tuned by {select['trials']} points "
        f"({content.get('search', 'grid')} search) {runs}, on validation data of streams of their own."
    )
    return markdown(_HEADS, lines, [head not in _TEXT for head in _HEADS]) + f"\n{caption}\n"


def _line(group: Group, prefix: str, sweep: Mapping[str, Any]) -> list[str]:
    row, config = row_of(group), group.results[0][0]
    name = _untuned(group.results[0])
    space = {**sweep.get("space", {}), **sweep.get("spaces", {}).get(name, {})}
    return [
        name.removeprefix(prefix),
        task_info(row),
        numbers.spread(row.acc),
        numbers.spread(row.bwt),
        numbers.spread(row.forgetting),
        seeds(row),
        numbers.count(row.carried_bytes),
        numbers.count(row.parameters),
        numbers.count(row.live_synapses),
        row.epochs,
        numbers.seconds(row.seconds),
        ", ".join(f"{_short(key)} {_value(config, key)}" for key in space),
        ", ".join(f"{_short(key)} {_range(values)}" for key, values in space.items()),
    ]


def _untuned(result: Result) -> str:
    """Return the name that an experiment had in the sweep, which wrote the chosen one with another ending."""
    name: str = result[0]["name"]
    return name.removesuffix("_tuned")


def _beginning(names: list[str]) -> str:
    """Return what all names begin with, up to an underscore; nothing for a single one."""
    words = [name.split("_") for name in names]
    same = 0
    while len(names) > 1 and len({tuple(own[: same + 1]) for own in words}) == 1 and same < min(map(len, words)):
        same += 1
    return "".join(f"{word}_" for word in words[0][:same]) if words else ""


def _short(key: str) -> str:
    return key.rsplit(".", 1)[-1]


def _value(config: Mapping[str, Any], key: str) -> str:
    value = setting(config, key)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _range(values: Any) -> str:
    if not isinstance(values, Mapping):
        return " / ".join(map(str, values))
    if "choose" in values:
        return " / ".join(map(str, values["choose"]))
    return f"{values['low']:g} to {values['high']:g}{' (log)' if values.get('log') else ''}"
