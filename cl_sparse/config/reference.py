"""The reference of all experiment parameters, read off the config model."""

from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from cl_sparse.config import PARAMETER_NAMES, ExperimentConfig
from cl_sparse.config.registry import PLUGINS, arguments_of

_BOUNDS = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))


@dataclass(frozen=True)
class Parameter:
    """One parameter as the reference prints it: all four are text."""

    name: str
    type: str
    default: str
    description: str


def parameters() -> list[Parameter]:
    """Return every parameter an experiment may set, in the model's order; after plugins, each plugin's arguments."""
    described = []
    for name in PARAMETER_NAMES:
        described.append(_described(name, ExperimentConfig.model_fields[name]))
        if name == "plugins":
            described += plugin_parameters()
    return described


def plugin_parameters() -> list[Parameter]:
    """Return every argument of every plugin, named as ``--set`` takes it: ``plugins.NAME.ARGUMENT``."""
    return [
        _described(f"plugins.{plugin}.{name}", field)
        for plugin in PLUGINS
        for name, field in arguments_of(plugin).model_fields.items()
    ]


def _described(name: str, field: FieldInfo) -> Parameter:
    bounds = [
        f"{sign} {getattr(item, bound):.10g}"
        for item in field.metadata
        for bound, sign in _BOUNDS
        if hasattr(item, bound)
    ]
    kind = " ".join([_type_text(field.annotation), ", ".join(bounds)]).strip()
    default = "none: it must be given" if field.is_required() else _yaml(field.get_default(call_default_factory=True))
    return Parameter(name, kind, default, field.description or "")


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
