"""What a sweep has chosen, as experiments for `exps/`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cl_sparse.config import ExperimentConfig
from cl_sparse.errors import UserError
from cl_sparse.results import write_atomically
from cl_sparse.sweep import space
from cl_sparse.sweep.space import Point, Space
from cl_sparse.sweep.spec import Select, Sweep

WINNERS = "winners.yaml"


@dataclass(frozen=True)
class Choice:
    """The best point of one experiment.

    Attributes:
        experiment: its name.
        base: the experiment as it was.
        chosen: the experiment at the point.
        point, value: the point, and what it is worth.
        second: the runner-up, with its worth; None if nothing else came to an end.
        points: how many were tried; ``failed`` of them came to nothing or were stopped early.
        searched: the space.
    """

    experiment: str
    base: ExperimentConfig
    chosen: ExperimentConfig
    point: Point
    value: float
    second: tuple[Point, float] | None
    points: int
    failed: int
    searched: Space


def write_winners(folder: Path, sweep: Sweep, choices: Sequence[Choice]) -> Path:
    """Write the file of chosen experiments; return its path.

    Raises:
        UserError: it cannot be written.
    """
    path = folder / WINNERS
    text = "\n".join(_experiment(sweep, choice) for choice in choices)
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    return path


def _experiment(sweep: Sweep, choice: Choice) -> str:
    assert sweep.select is not None
    seeds = ", ".join(map(str, sweep.select.seeds))
    lines = [
        f"# Chosen by {sweep.select.metric} on validation data, mean over seeds {seeds}, among {choice.points} points "
        f"({sweep.search} search){finalists_said(sweep.select)}.",
        *([f"# {choice.failed} of them came to nothing or were stopped early."] if choice.failed else []),
        f"# Searched: {space.said(choice.searched)}.",
        f"# Chosen: {_said(choice.point)}: {choice.value:.4f}.",
        f"# Runner-up: {_said(choice.second[0])}: {choice.second[1]:.4f}." if choice.second else "# No runner-up.",
    ]
    content = {choice.chosen.name: _content(choice)}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    return "\n".join(" ".join(line.split()) for line in lines) + "\n" + text


def finalists_said(select: Select) -> str:
    """Return what a line about selection says of finalists."""
    if select.finalists is None:
        return ""
    return f", of which the {select.finalists} best with seed {select.seeds[0]} ran with all seeds"


def _content(choice: Choice) -> dict[str, Any]:
    before, after = choice.base.model_dump(), choice.chosen.model_dump()
    searched = {key.partition(".")[0] for key in choice.point}  # these stand there even where they are the base's
    changed = {key: after[key] for key in after if key != "name" and (key in searched or after[key] != before[key])}
    description = f"{choice.base.description or choice.experiment}, tuned"
    return {"description": description, "inherits": choice.experiment, **changed}


def _said(point: Point) -> str:
    return ", ".join(f"{key}={value}" for key, value in point.items()) or "as it is"
