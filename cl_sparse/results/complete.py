"""What tables and figures need of a result: one may be plain data and yet lack a key, or hold something else there."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cl_sparse.config.wording import explain
from cl_sparse.errors import UserError
from cl_sparse.results.files import load_result


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _averageable(value: float) -> float:
    if abs(value) > 1e300:
        raise ValueError("a finite number is needed")
    return value


def _score(value: float) -> float:
    if not (math.isnan(value) or -1e300 < value <= 1):
        raise ValueError(f"{value:g} is no accuracy: a number from 0 to 1, or NaN where not tested, is needed")
    return value


Number = Annotated[float, AfterValidator(_averageable)]  # may be NaN: not measured
Numbers = Annotated[list[Number], BeforeValidator(_listed)]
Accuracies = Annotated[list[Annotated[float, AfterValidator(_score)]], BeforeValidator(_listed)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Benchmark(_Part):
    name: str
    dataset: str = ""


class _Seconds(_Part):
    total: Number


class _Config(_Part):
    name: str


class _Stats(_Part):
    accs: Annotated[list[Accuracies], Field(min_length=1), BeforeValidator(_listed)]
    accs_init: Accuracies | None
    score: Literal["accuracy", "r2"] = "accuracy"
    scenario: Literal["task", "domain", "class"]
    heads: str
    strategy: str = ""
    task_info_train: str
    task_info_test: str
    seed: int
    benchmark: _Benchmark
    parameters: Number
    live_synapses: Number
    synapse_positions: Number = 0
    active_share: dict[str, Numbers]
    steps: Numbers
    seconds: _Seconds
    stopped: str | None = None

    @model_validator(mode="after")
    def _accuracies_are_not_negative(self) -> Self:
        below = [value for row in (*self.accs, self.accs_init or []) for value in row if value < 0]
        if self.score == "accuracy" and below:
            raise ValueError(f"accs: {below[0]:g} is no accuracy: a number from 0 to 1, or NaN where not tested")
        return self

    @model_validator(mode="after")
    def _one_row_and_column_per_task(self) -> Self:
        rows = [*self.accs, *([] if self.accs_init is None else [self.accs_init])]
        if any(len(row) != len(self.accs) for row in rows):
            raise ValueError(f"accs has {len(self.accs)} rows: as many columns, and as many accs_init, are needed")
        return self


class _Result(_Part):
    config: _Config
    stats: _Stats


def load_complete_result(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read ``(config, stats)`` as :func:`load_result` does, with all in it that a table or a figure shows.

    Raises:
        UserError: as :func:`load_result`; or a key is missing, or what it holds is of another kind than it should be.
    """
    config, stats = load_result(path)
    if not _are_settings(config):
        raise UserError(f"{path}: config holds an array or a number of more than 64 bits, which no experiment has")
    try:
        _Result.model_validate({"config": config, "stats": stats})
    except ValidationError as failure:
        error = failure.errors()[0]
        place = ".".join(str(part) for part in error["loc"])
        raise UserError(f"{path}: {place}: {error.get('ctx', {}).get('error') or explain(error)}") from None
    return config, stats


def _are_settings(value: Any) -> bool:
    if isinstance(value, list | dict):
        return all(map(_are_settings, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, np.ndarray) and not (type(value) is int and value.bit_length() > 64)
