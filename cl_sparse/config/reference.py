"""The reference of all experiment parameters, read off the config model."""

from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from cl_sparse.config import PARAMETER_NAMES, ExperimentConfig

_BOUNDS = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))


@dataclass(frozen=True)
class Parameter:
    """One parameter as the reference prints it: all four are text."""

    name: str
    type: str
    default: str
    description: str


def parameters() -> list[Parameter]:
    """Return every parameter an experiment may set, in the model's order."""
    described = []
    for name in PARAMETER_NAMES:
        field = ExperimentConfig.model_fields[name]
        bounds = [
            f"{sign} {getattr(item, bound):.10g}"
            for item in field.metadata
            for bound, sign in _BOUNDS
            if hasattr(item, bound)
        ]
        kind = " ".join([_type_text(field.annotation), ", ".join(bounds)]).strip()
        default = _yaml(field.get_default(call_default_factory=True, validated_data={}))
        described.append(Parameter(name, kind, default, field.description or ""))
    return described


def _type_text(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return " | ".join(_type_text(part) for part in get_args(annotation))
    if origin is Literal:
        return " | ".join(str(value) for value in get_args(annotation))
    if annotation is NoneType:
        return "null"
    return str((origin or annotation).__name__)


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value) or '""'
