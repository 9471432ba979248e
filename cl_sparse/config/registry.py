"""Names for benchmarks, strategies and plugins.

A name stands for ``"module:attribute"``, so that listing and checking names imports nothing. Adding a method is one new
file and one line here.
"""

import importlib
import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

from cl_sparse.config.wording import explain, near
from cl_sparse.errors import UserError

Kind = Literal["benchmark", "strategy", "plugin"]


@dataclass(frozen=True)
class Stream:
    """A benchmark's place, and what is known of its stream of tasks before any data are read.

    Attributes:
        place: ``"module:attribute"``; called with the keywords of ``benchmarks.base.DataOptions`` and with ``n_tasks``,
            ``scenario``, ``dataset``, ``class_order`` and ``max_angle`` where the experiment sets them.
        kind: how it makes tasks, which decides what else may be set; None: it is for itself to refuse a scenario.
        dataset: the data set it uses unless told otherwise; None: not one that is known by name.
        choosable: whether ``dataset`` may name another one.
        needs_dataset: whether ``dataset`` has to.
        n_tasks: tasks unless told otherwise; None: it decides when it sees the data.
    """

    place: str
    kind: Literal["permuted", "rotated", "split"] | None = None
    dataset: str | None = None
    choosable: bool = False
    needs_dataset: bool = False
    n_tasks: int | None = None


BENCHMARKS: dict[str, Stream] = {
    "PermutedMNIST": Stream("benchmarks:PermutedMNIST", "permuted", "mnist", choosable=True, n_tasks=10),
    "SplitMNIST": Stream("benchmarks:SplitMNIST", "split", "mnist", choosable=True, n_tasks=5),
    "RotatedMNIST": Stream("benchmarks:RotatedMNIST", "rotated", "mnist", choosable=True, n_tasks=10),
    "iCIFAR10": Stream("benchmarks:iCIFAR10", "split", "cifar10", n_tasks=5),
    "iCIFAR100": Stream("benchmarks:iCIFAR100", "split", "cifar100", n_tasks=10),
    "PermutedDigits": Stream("benchmarks:PermutedDigits", "permuted", "digits", n_tasks=10),
    "SplitDigits": Stream("benchmarks:SplitDigits", "split", "digits", n_tasks=5),
    "SplitDataset": Stream("benchmarks:SplitDataset", "split", choosable=True, needs_dataset=True),
}

STRATEGIES: dict[str, str] = {
    "sequential": "cl_sparse.strategies:SEQUENTIAL",
    "joint": "cl_sparse.strategies:JOINT",
    "cumulative": "cl_sparse.strategies:CUMULATIVE",
    "independent": "cl_sparse.strategies:INDEPENDENT",
    "replay": "cl_sparse.strategies:REPLAY",
}

PLUGINS: dict[str, str] = {
    "replay": "cl_sparse.plugins:Replay",
    "cumulative": "cl_sparse.plugins:Cumulative",
}

_TABLES: dict[Kind, Mapping[str, str | Stream]] = {"benchmark": BENCHMARKS, "strategy": STRATEGIES, "plugin": PLUGINS}


def unknown_name(kind: Kind, name: object) -> str | None:
    """Return what is wrong with ``name`` as the name of a ``kind``, in one line, or None if it is registered."""
    table = _TABLES[kind]
    return None if isinstance(name, str) and name in table else f"unknown {kind} {name!r}{near(name, table)}"


def resolve(kind: Kind, name: str) -> object:
    """Import and return what ``name`` stands for.

    Raises:
        UserError: if no such name is registered; the message gives the nearest ones.
    """
    problem = unknown_name(kind, name)
    if problem is not None:
        raise UserError(problem)
    entry = _TABLES[kind][name]
    module, _, attribute = (entry if isinstance(entry, str) else entry.place).partition(":")
    return getattr(importlib.import_module(module), attribute)


def check_plugin_args(
    cls: type, args: Mapping[str, object], *, provided: Collection[str] = (), where: str = "plugins"
) -> None:
    """Check a plugin's arguments, as read from an experiment, against its own constructor.

    Args:
        cls: the plugin's class.
        args: the arguments the user gave, without ``name``.
        provided: parameters that the program fills in itself; a user may neither give nor miss them.
        where: what the message starts with, e.g. ``"plugins.replay"``.

    Raises:
        UserError: for an unknown argument (with the nearest name), a missing one, or one of the wrong type.
    """
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and name not in provided
    }
    for name in args:
        if name not in parameters:
            hint = near(name, parameters) or ": it takes none"
            raise UserError(f"{where}.{name}: unknown argument{hint}")
    missing = [n for n, p in parameters.items() if p.default is p.empty and n not in args]
    if missing:
        raise UserError(f"{where}: needs {', '.join(missing)}")
    hints = get_type_hints(inspect.getattr_static(cls, "__init__"))
    for name, value in args.items():
        if name in hints:
            _check_type(hints[name], value, f"{where}.{name}")


def _check_type(hint: Any, value: object, where: str) -> None:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    adapter: TypeAdapter[Any] = TypeAdapter(
        hint, config=ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
    )
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        raise UserError(f"{where}: {explain(error.errors()[0])}") from None
