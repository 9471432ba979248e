"""Names for benchmarks, strategies and plugins.

A name stands for ``"module:attribute"``, so that listing and checking names imports nothing. Adding a method is one new
file and one line here.
"""

import importlib
import inspect
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_type_hints

from pydantic import ValidationError, create_model

from cl_sparse.config.methods import (
    AnnealWinnersArguments,
    Arguments,
    AugmentArguments,
    DarkReplayArguments,
    DecayLearningRateArguments,
    DistillationArguments,
    DumbArguments,
    PerEpochArguments,
    ReplayArguments,
    StepLearningRateArguments,
)
from cl_sparse.config.wording import explain, near, shortened
from cl_sparse.errors import UserError

Kind = Literal["benchmark", "strategy", "plugin"]


@dataclass(frozen=True)
class Stream:
    """A benchmark's place, and what is known of its stream of tasks before any data are read.

    Attributes:
        place: ``"module:attribute"``; called with the keywords of ``benchmarks.base.DataOptions`` and with ``n_tasks``,
            ``scenario``, ``dataset``, ``class_order`` and ``max_angle`` where the experiment sets them; what else it
            takes, the experiment sets as ``stream: {ARGUMENT: VALUE}``.
        kind: how it makes tasks, which decides what else may be set; "numbers": its targets are numbers, not classes;
            None: it is for itself to refuse a scenario.
        dataset: the data set it uses unless told otherwise; None: not one that is known by name.
        choosable: whether ``dataset`` may name another one.
        needs_dataset: whether ``dataset`` has to.
        n_tasks: tasks unless told otherwise; None: it decides when it sees the data.
    """

    place: str
    kind: Literal["permuted", "rotated", "split", "numbers"] | None = None
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
    "DriftingAdd10": Stream("benchmarks:DriftingAdd10", "numbers", n_tasks=5),
    "Airfoil": Stream("benchmarks:Airfoil", "numbers", n_tasks=1),
    "SplitDataset": Stream("benchmarks:SplitDataset", "split", choosable=True, needs_dataset=True),
}

# The arguments of benchmarks that are parameters of an experiment.
STREAM_PARAMETERS = frozenset(
    [
        "n_tasks",
        "scenario",
        "dataset",
        "class_order",
        "max_angle",
        "seed",
        "data_root",
        "normalize",
        "validation",
        "train_subset",
        "test_subset",
    ]
)

STRATEGIES: dict[str, str] = {
    "sequential": "cl_sparse.strategies:SEQUENTIAL",
    "joint": "cl_sparse.strategies:JOINT",
    "cumulative": "cl_sparse.strategies:CUMULATIVE",
    "independent": "cl_sparse.strategies:INDEPENDENT",
    "independent_inferred": "cl_sparse.strategies:INDEPENDENT_INFERRED",
    "replay": "cl_sparse.strategies:REPLAY",
}


@dataclass(frozen=True)
class Method:
    """A plugin, or a mechanism for synapses.

    Attributes:
        place: ``"module:attribute"``.
        arguments: the model of its arguments; None: read from its constructor, in which a parameter may be
            ``Annotated[float, Field(ge=0, description="…")]``. That imports its module: for a plugin all of Avalanche.
        filled: parameters of its constructor that the run fills in: what it is built for, not how.
        known_as: what papers call it for short; a user who tries that is told the name.
    """

    place: str
    arguments: type[Arguments] | None = None
    filled: tuple[str, ...] = ()
    known_as: str = ""


PLUGINS: dict[str, Method] = {
    "replay": Method("cl_sparse.plugins:Replay", ReplayArguments),
    "anneal_winners": Method("cl_sparse.plugins:AnnealWinners", AnnealWinnersArguments),
    "augment": Method("cl_sparse.plugins:Augment", AugmentArguments),
    "averaged_gradient": Method("cl_sparse.plugins:AveragedGradient", ReplayArguments, known_as="agem"),
    "dark_replay": Method("cl_sparse.plugins:DarkReplay", DarkReplayArguments, known_as="der"),
    "distillation": Method("cl_sparse.plugins:Distillation", DistillationArguments, known_as="lwf"),
    "dumb": Method("cl_sparse.plugins:Dumb", DumbArguments, known_as="gdumb"),
    "decay_learning_rate": Method("cl_sparse.plugins:DecayLearningRate", DecayLearningRateArguments),
    "step_learning_rate": Method("cl_sparse.plugins:StepLearningRate", StepLearningRateArguments),
    "per_epoch": Method("cl_sparse.plugins:PerEpoch", PerEpochArguments),
    "size_per_epoch": Method("cl_sparse.plugins:SizePerEpoch", Arguments),
    "cumulative": Method("cl_sparse.plugins:Cumulative", Arguments),
    "joint": Method("cl_sparse.plugins:Joint", Arguments),
    "fresh_steps": Method("cl_sparse.synapses.fresh_steps:FreshSteps"),
    "distributed_memory": Method("cl_sparse.synapses.distributed_memory:DistributedMemory", known_as="sdmlp"),
    "space_net": Method("cl_sparse.synapses.space_net:SpaceNet"),
    "dynamic_connectivity": Method("cl_sparse.synapses.dynamic_connectivity:DynamicConnectivity", known_as="rigl"),
    "set_layers": Method("cl_sparse.synapses.set_layers:SetLayers", known_as="set"),
    "hebb_mask": Method("cl_sparse.synapses.hebb_mask:HebbMasks"),
    "frozen": Method("cl_sparse.synapses.frozen:Frozen"),
    "synaptic_intelligence": Method("cl_sparse.synapses.synaptic_intelligence:SynapticIntelligence", known_as="si"),
    "elastic_weights": Method("cl_sparse.synapses.elastic_weights:ElasticWeights", known_as="ewc"),
    "kronecker_laplace": Method("cl_sparse.synapses.kronecker_laplace:KroneckerLaplace", known_as="osla"),
    "aware_synapses": Method("cl_sparse.synapses.aware_synapses:AwareSynapses", known_as="mas"),
    "orthogonal_weights": Method("cl_sparse.synapses.orthogonal_weights:OrthogonalWeights", known_as="owm"),
    "gradient_projection": Method("cl_sparse.synapses.gradient_projection:GradientProjection", known_as="gpm"),
    # Nets that learn their own size
    "sparsified_units": Method("cl_sparse.synapses.sparsified_units:SparsifiedUnits", known_as="shrinknets"),
    "switched_units": Method("cl_sparse.synapses.switched_units:SwitchedUnits", known_as="smallify"),
    "flexible_width": Method("cl_sparse.synapses.flexible_width:FlexibleWidth"),
    "grown_units": Method("cl_sparse.synapses.grown_units:GrownUnits"),
    "block_growth": Method("cl_sparse.synapses.block_growth:BlockGrowth"),
    "neuron_gc": Method("cl_sparse.synapses.neuron_gc:NeuronGC"),
    "size_only": Method("cl_sparse.synapses.size_only:SizeOnly"),
    "capacity_probe": Method("cl_sparse.synapses.capacity_probe:CapacityProbe"),
    # A part of the net for each task, chosen by its label, or by what is inferred of it
    "context_means": Method("cl_sparse.synapses.context_means:ContextMeans"),
    "context_gates": Method("cl_sparse.synapses.context_gates:ContextGates", known_as="xdg"),
    "grown_parts": Method("cl_sparse.synapses.grown_parts:GrownParts"),
    "hard_attention": Method("cl_sparse.synapses.hard_attention:HardAttention", known_as="hat"),
    "nispa": Method("cl_sparse.synapses.nispa:Nispa"),
    "packed": Method("cl_sparse.synapses.packed:Packed", known_as="packnet"),
    "supermasks": Method("cl_sparse.synapses.subnetworks:Supermasks", known_as="supsup"),
    "winning_subnetworks": Method("cl_sparse.synapses.subnetworks:WinningSubnetworks", known_as="wsn"),
    # Features that are not trained, in place of a net
    "pixels": Method("cl_sparse.layers.fixed_features:Pixels", filled=("shape",)),
    "patch_code": Method("cl_sparse.layers.patch_code:PatchCode", filled=("image",)),
    "random_code": Method("cl_sparse.layers.fixed_features:RandomCode", filled=("shape",)),
    "random_fourier": Method("cl_sparse.layers.fixed_features:RandomFourier", filled=("shape",)),
    "set_rbm": Method("cl_sparse.layers.set_rbm_code:SetRBMCode", filled=("shape",)),
    # Readouts that are solved, on such features or on a net's
    "discriminant": Method("cl_sparse.synapses.readouts:Discriminant", filled=("features", "outputs")),
    "ridge": Method("cl_sparse.synapses.readouts:Ridge", filled=("features", "outputs")),
    "recursive_ridge": Method("cl_sparse.synapses.readouts:RecursiveRidge", filled=("features", "outputs")),
    "nearest_mean": Method("cl_sparse.synapses.readouts:NearestMean", filled=("features", "outputs")),
    "hebbian": Method("cl_sparse.synapses.readouts:Hebbian", filled=("features", "outputs")),
}

# What an experiment may name if its targets are numbers: what looks at no classes.
FOR_NUMBERS = frozenset(
    [
        *("sequential", "joint", "cumulative"),
        *("cumulative", "joint", "decay_learning_rate", "step_learning_rate", "per_epoch", "size_per_epoch"),
        *("fresh_steps", "frozen", "synaptic_intelligence", "dynamic_connectivity", "hebb_mask"),
        *("sparsified_units", "switched_units", "flexible_width", "grown_units", "neuron_gc", "size_only"),
    ]
)

_TABLES: dict[Kind, Mapping[str, str | Stream | Method]] = {
    "benchmark": BENCHMARKS,
    "strategy": STRATEGIES,
    "plugin": PLUGINS,
}


def unknown_name(kind: Kind, name: object) -> str | None:
    """Return what is wrong with ``name`` as the name of a ``kind``, in one line, or None if it is registered."""
    table = _TABLES[kind]
    if isinstance(name, str) and name in table:
        return None
    short = {m.known_as: known for known, m in PLUGINS.items() if m.known_as} if kind == "plugin" else {}
    plain = str(name).lower().replace("-", "").rstrip("+")
    hint = f", did you mean {short[plain]}?" if plain in short else near(name, table)
    return f"unknown {kind} {shortened(name)}{hint}"


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


class ArgumentError(ValueError):
    """An argument that cannot be; ``key`` is ``plugins.NAME``, ``plugins.NAME.ARGUMENT`` or ``stream.ARGUMENT``."""

    def __init__(self, key: str, problem: str) -> None:
        """Blame ``key``; ``problem`` is one line."""
        super().__init__(problem)
        self.key = key


def arguments_of(name: str) -> type[Arguments]:
    """Return the model of the arguments of the registered plugin ``name``."""
    method = PLUGINS[name]
    return method.arguments or _model_of(resolve("plugin", name), name, leave_out=method.filled)


def plugin_arguments(name: str, given: Mapping[str, object]) -> dict[str, Any]:
    """Return all arguments of the registered plugin ``name``: those given, and the defaults of the others.

    Raises:
        ArgumentError: for an unknown argument (with the nearest name), a missing one, or a value that cannot be.
    """
    return _checked(arguments_of(name), given, f"plugins.{name}")


def stream_arguments(name: str, given: Mapping[str, object]) -> dict[str, Any]:
    """Return all arguments of the registered benchmark ``name`` that are its own: given, or by default.

    Imports the benchmark, and with it torch.

    Raises:
        ArgumentError: as :func:`plugin_arguments`.
    """
    return _checked(_model_of(resolve("benchmark", name), name, leave_out=STREAM_PARAMETERS), given, "stream")


@cache  # making one takes a millisecond, and a report compares thousands of configs
def _model_of(called: Any, name: str, leave_out: Collection[str] = ()) -> type[Arguments]:
    """Return the model of a class's or function's arguments."""
    constructor = getattr(called, "__init__") if isinstance(called, type) else called  # noqa: B009 (mypy objects)
    hints = get_type_hints(constructor, include_extras=True)
    parameters = list(inspect.signature(constructor).parameters.values())[isinstance(called, type) :]  # without self
    parameters = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name not in leave_out]
    defaults = {p.name: ... if p.default is p.empty else p.default for p in parameters}
    fields: dict[str, Any] = {name: (hints.get(name, Any), default) for name, default in defaults.items()}
    return create_model(f"{name} arguments", __base__=Arguments, **fields)


def _checked(model: type[Arguments], given: Mapping[str, object], key: str) -> dict[str, Any]:
    for argument in given:
        if argument not in model.model_fields:
            hint = near(argument, model.model_fields) or ": it takes none"
            raise ArgumentError(f"{key}.{argument}", f"unknown argument{hint}")
    try:
        return model.model_validate(dict(given)).model_dump()
    except ValidationError as failure:
        errors = failure.errors()
        blamed = [error for error in errors if error["loc"][:1] == errors[0]["loc"][:1]]
        paths = [_path(given, error["loc"]) for error in blamed]
        deepest = max(range(len(blamed)), key=lambda i: len(paths[i]))  # of a union's kinds the one that was meant
        place, error = ".".join((key, *paths[deepest])), blamed[deepest]
        raise ArgumentError(place, str(error.get("ctx", {}).get("error") or explain(error))) from None


def _path(given: object, loc: Iterable[str | int]) -> list[str]:
    """Return the parts of an error's place that are keys and indices of what was given; others name kinds."""
    path: list[str] = []
    inner: Any = given
    for part in loc:
        if part in (range(len(inner)) if isinstance(inner, list) else inner if isinstance(inner, Mapping) else ()):
            inner = inner[part]
        elif path:
            continue
        path.append(str(part))
    return path
