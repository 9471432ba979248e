"""The one typed model of an experiment: every parameter with its meaning, unit, default and range.

The names down to ``record_stats`` that the original experiments had are kept; an integer is accepted where a float is
meant. Nothing here imports torch.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from cl_sparse.config import rules
from cl_sparse.config.registry import BENCHMARKS, ArgumentError, plugin_arguments, stream_arguments, unknown_name
from cl_sparse.config.wording import explain, near, shortened
from cl_sparse.errors import UserError

_MOST = 10**9  # of anything that is counted: beyond it, arithmetic on sizes overflows somewhere below us


class ExperimentConfig(BaseModel):
    """All parameters of one experiment. Build it from a file with `cl_sparse.config.experiments`, or by keyword.

    Raises:
        pydantic.ValidationError: for an unknown parameter, a wrong type, a value out of range, or a combination that
            cannot work (`build_config` turns it into a one-line `UserError`).
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field("experiment", description="The experiment's name; set by its key in the file.")
    description: str = Field("", description="What the experiment shows, in one line.")

    # The stream of tasks
    benchmark: str = Field(
        "PermutedMNIST", description="Benchmark by name; or mnist (with mnist_mode) or cifar (with num_batch)."
    )
    mnist_mode: Literal["perm", "split"] | None = Field(
        None, description="For benchmark mnist only: perm is PermutedMNIST, split is SplitMNIST."
    )
    num_batch: int | None = Field(
        None, ge=1, le=1000, description="Tasks in the stream; null: the benchmark's own number."
    )
    dataset: str | None = Field(
        None,
        description="Data the benchmark is built on, where it leaves the choice: mnist, fashion_mnist, cifar10, "
        "cifar100, digits, poker, census_income, hasy, image_folder:DIR or npz:FILE; null: the benchmark's own.",
    )
    scenario: Literal["task", "domain", "class"] | None = Field(
        None, description="What a learner is told and asked; null: domain for permuted and rotated streams, else task."
    )
    class_order: Literal["natural", "random"] | None = Field(
        None, description="Order in which a split stream deals out the classes; null: natural."
    )
    max_angle: float | None = Field(
        None, gt=0, lt=360, description="Rotation of a rotated stream's last task, degrees; null: the benchmark's own."
    )
    normalize: Literal["standard", "unit"] = Field(
        "standard",
        description="Inputs: standard has zero mean and unit variance in training; unit has pixels from 0 to 1.",
    )
    validation: float = Field(
        0.0, ge=0, lt=1, description="Share of each task's training samples held out to validate on."
    )
    train_subset: int | None = Field(
        None, ge=1, description="Training samples to keep, as many of each class; null: all."
    )
    test_subset: int | None = Field(None, ge=1, description="Test samples to keep, as many of each class; null: all.")
    stream: dict[str, Any] = Field(
        default_factory=dict,
        description="Arguments that only this benchmark has: {ARGUMENT: VALUE, ...}; for --set also "
        "stream.ARGUMENT=VALUE.",
    )

    # The learner
    strategy: str = Field("sequential", description="How the stream is learned, by name.")
    cumul: bool = Field(False, description="Train once on the union of all tasks (strategy joint).")
    plugins: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Methods to add: a list of {name: NAME, ARGUMENT: VALUE, ...}; for --set also "
        "plugins.NAME.ARGUMENT=VALUE. One that the strategy has too replaces the strategy's.",
    )
    heads: Literal["multi", "single"] | None = Field(
        None,
        description="multi: one output layer per task; single: one for all (scenario task: masked to the task's "
        "classes); null: multi for split streams in scenario task, else single.",
    )
    loss_outputs: Literal["all", "seen", "current"] = Field(
        "all", description="Outputs the training loss sees in scenario class: of all, the seen, or the current classes."
    )

    loss: Literal["cross_entropy", "squared"] = Field(
        "cross_entropy",
        description="Training loss: cross-entropy, or half the squared distance from one-hot targets over all outputs.",
    )

    # The net
    cnn: bool = Field(False, description="Convolutional net; otherwise a multilayer perceptron.")
    conv_channels: list[Annotated[int, Field(ge=1, le=10_000)]] = Field(
        [64, 128], min_length=1, max_length=20, description="Channels of each convolution (cnn)."
    )
    kernel_size: int = Field(5, ge=1, le=31, description="Side of the convolutions' kernels, pixels (cnn).")
    padding: bool = Field(False, description="Zeros around the maps, so that they keep their size (cnn).")
    stride: int = Field(1, ge=1, le=32, description="Pixels from one place of the kernels to the next (cnn).")
    pool: int = Field(1, ge=1, le=32, description="Max-pooling behind each convolution: side, pixels; 1: none (cnn).")
    average_maps: bool = Field(
        False, description="The mean of each map of the last convolution in place of its pixels (cnn)."
    )
    residual_blocks: int | None = Field(
        None,
        ge=1,
        le=100,
        description="A wide residual net in place of convolutions and hidden layers: blocks in each of its three "
        "groups; null: none (cnn, batch_norm).",
    )
    widen_factor: int = Field(1, ge=1, le=100, description="Its channels: 16, 32 and 64 times this (residual_blocks).")
    hidden_units: int = Field(4000, ge=1, le=1_000_000, description="Units in each hidden fully connected layer.")
    hidden_layers: int = Field(
        1, ge=0, le=100, description="Hidden fully connected layers; 0: the head reads the input, or the maps, itself."
    )
    widths: list[Annotated[int, Field(ge=1, le=1_000_000)]] | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="Units in each hidden fully connected layer, one after the other; null: hidden_units in each of "
        "hidden_layers.",
    )
    widths_from: str | None = Field(
        None,
        description="Experiment whose net decides the widths: layers begin as wide as its ended, same seed, by "
        "its result in the results folder.",
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="Share of a hidden layer's outputs dropped in training.")
    input_dropout: float = Field(0.0, ge=0, lt=1, description="Share of the inputs dropped in training.")
    batch_norm: bool = Field(
        False, description="Normalise each hidden unit or channel over the mini-batch before it is activated."
    )
    sparsify: bool = Field(
        False, description="k-winners and sparse weights in every hidden layer; otherwise ReLU and dense weights."
    )
    percent_on_fc: float = Field(
        1.0, gt=0, le=1, description="Share of units on after a fully connected layer; 1: ReLU (sparsify)."
    )
    percent_on_conv: float = Field(
        1.0, gt=0, le=1, description="Share of channels on at each place after a convolution; 1: ReLU (sparsify)."
    )
    k_inference_factor: float = Field(
        1.5, gt=0, le=1e6, description="Winners in evaluation over winners in training (sparsify)."
    )
    boost_strength: float = Field(
        1.0, ge=0, description="How strongly rarely used units are favoured; 0: not at all (sparsify)."
    )
    boost_strength_factor: float = Field(
        0.9, ge=0, le=1, description="What boost_strength is multiplied by after each epoch (sparsify)."
    )
    duty_cycle_period: int = Field(1000, ge=1, description="Samples over which a unit's use is averaged (sparsify).")
    weight_sparsity_fc: float = Field(
        1.0, gt=0, le=1, description="Share of non-zero weights in a fully connected layer; 1: dense (sparsify)."
    )
    weight_sparsity_conv: float = Field(
        1.0, gt=0, le=1, description="Share of non-zero weights in a convolution; 1: dense (sparsify)."
    )
    weight_distribution: Literal["per_unit", "uniform", "erdos_renyi", "erdos_renyi_kernel"] = Field(
        "per_unit",
        description="Where sparse weights live: per_unit, equally many for each unit; else anywhere in a layer, as "
        "many in all: uniform, layers alike; erdos_renyi, by units and inputs; erdos_renyi_kernel, by kernels as well.",
    )
    weight_epsilon: float | None = Field(
        None,
        gt=0,
        description="Weights per unit and input (erdos_renyi, erdos_renyi_kernel), in place of weight_sparsity; null: "
        "as many in all as that says.",
    )
    weight_count: Literal["exact", "bernoulli"] = Field(
        "exact", description="Whether a layer has that many weights exactly, or each place one by chance."
    )
    sparsify_head: bool = Field(False, description="Output layers are as sparse as the hidden ones (sparsify).")
    weights: Literal["masked", "sparse"] = Field(
        "masked",
        description="How an MLP stores sparse weights: masked, as zeros in dense layers; sparse, the live ones alone.",
    )
    compute: Literal["auto", "reference", "winners"] = Field(
        "auto",
        description="How an MLP computes k-winners: reference, as masks over dense layers; winners, nothing but what "
        "wins; auto, the faster of the two (sparsify).",
    )

    # Training
    optimizer: Literal["sgd", "adam", "adamax"] = Field("sgd", description="Optimizer.")
    lr: float = Field(0.1, gt=0, description="Learning rate.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum (sgd).")
    nesterov: bool = Field(True, description="Nesterov momentum (sgd).")
    weight_decay: float = Field(1e-4, ge=0, description="L2 penalty on all parameters.")
    mb_size: int = Field(128, ge=1, description="Samples in a training mini-batch.")
    train_ep: int = Field(2, ge=1, description="Epochs on the first task.")
    train_ep_inc: int | None = Field(None, ge=1, description="Epochs on each later task; null: as train_ep.")

    precision: Literal["float32", "bf16"] = Field(
        "float32",
        description="Numbers that a net multiplies in training: float32, or bf16 (bfloat16, by autocast), faster where "
        "the processor is made for it; weights, steps, what methods compute and tests stay in float32.",
    )

    # Evaluation and bookkeeping
    eval_mb_size: int = Field(1000, ge=1, description="Samples in a test mini-batch; changes the speed only.")
    eval_every: int = Field(1, ge=1, description="Tasks from one test of all tasks to the next.")
    record_stats: bool = Field(True, description="Record which units are on and how dense the weights are.")
    seeds: int = Field(
        1, ge=1, le=10_000, description="Runs, with seeds 0, 1, ..., unless the command line says otherwise."
    )
    stream_seed: int | None = Field(
        None,
        ge=0,
        description="Seed of the stream (permutations, class order, subsets, validation split), to vary the net alone; "
        "null: the run's seed.",
    )
    net_seed: int | None = Field(
        None,
        ge=0,
        description="Seed of the learner (initial weights, mini-batches, dropout), to vary the stream alone; null: the "
        "run's seed.",
    )

    _where: Mapping[str, str] = PrivateAttr(default_factory=dict)  # parameter -> where it was set

    def place(self, key: str) -> str:
        """Return what a message about a parameter starts with: where it was set, in a file or by ``--set``."""
        return _place(key, self.name, self._where)

    @field_validator("*")
    @classmethod
    def _countable(cls, value: object) -> object:
        if isinstance(value, int) and value > _MOST:
            raise ValueError(f"{_MOST} is the most")
        return value

    @field_validator("stream")
    @classmethod
    def _known_stream_arguments(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """Refuse what the benchmark does not take; fill in the defaults, so that a result says what they were."""
        name = info.data.get("benchmark")
        if not value or name not in (*BENCHMARKS, "mnist", "cifar"):  # an unknown one is refused with all else in view
            return value
        return stream_arguments(name if name in BENCHMARKS else "SplitMNIST", value)  # they take none, by either name

    @field_validator("strategy")
    @classmethod
    def _known_strategy(cls, value: str) -> str:
        problem = unknown_name("strategy", value)
        if problem:
            raise ValueError(problem)
        return value

    @field_validator("plugins")
    @classmethod
    def _known_plugins(cls, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Refuse what no plugin takes; fill in the defaults, so that a result says what they were."""
        for plugin in value:
            problem = unknown_name("plugin", plugin["name"]) if "name" in plugin else f"{shortened(plugin)} has no name"
            if problem:
                raise ValueError(problem)
        names = [plugin["name"] for plugin in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} is there twice")
        return [_with_defaults(plugin) for plugin in value]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        rules.check(self)
        return self

    @property
    def effective_benchmark(self) -> str:
        """The benchmark's registered name, with the source's ``mnist`` and ``cifar`` translated."""
        return rules.benchmark_name(self)

    @property
    def effective_strategy(self) -> str:
        """The strategy's registered name, with ``cumul`` translated."""
        return "joint" if self.cumul and self.strategy == "sequential" else self.strategy

    @property
    def effective_scenario(self) -> Literal["task", "domain", "class"]:
        """The scenario, with null translated."""
        return self.scenario or ("task" if BENCHMARKS[self.effective_benchmark].kind == "split" else "domain")

    @property
    def effective_heads(self) -> Literal["multi", "single"]:
        """The heads, with null translated."""
        if self.heads is not None:
            return self.heads
        split = BENCHMARKS[self.effective_benchmark].kind == "split"
        return "multi" if split and self.effective_scenario == "task" else "single"

    @property
    def effective_widths(self) -> list[int]:
        """The units of each hidden fully connected layer, with null translated."""
        return [self.hidden_units] * self.hidden_layers if self.widths is None else self.widths

    def effective_stream_seed(self, seed: int) -> int:
        """Return what the stream is drawn from in the run with ``seed``."""
        return seed if self.stream_seed is None else self.stream_seed

    def effective_net_seed(self, seed: int) -> int:
        """Return what initial weights and mini-batches are drawn from in the run with ``seed``."""
        return seed if self.net_seed is None else self.net_seed

    def epochs(self, task: int) -> int:
        """Return the epochs on task number ``task``, counted from 0."""
        return self.train_ep if task == 0 or self.train_ep_inc is None else self.train_ep_inc

    def benchmark_args(self) -> dict[str, Any]:
        """Return the arguments for the benchmark's function, without seed and data root; what is null is left out."""
        args = {
            "n_tasks": self.num_batch,
            "dataset": self.dataset,
            "scenario": self.scenario,
            "class_order": self.class_order,
            "max_angle": self.max_angle,
            "normalize": self.normalize,
            "validation": self.validation,
            "train_subset": self.train_subset,
            "test_subset": self.test_subset,
        }
        return {**{key: value for key, value in args.items() if value is not None}, **self.stream}

    def identity(self) -> dict[str, Any]:
        """Return the parameters that decide a run's outcome, as plain Python: all but texts and the number of seeds."""
        return self.model_dump(exclude={"description", "seeds"})


def _with_defaults(plugin: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in plugin.items() if key != "name"}
    return {"name": plugin["name"], **plugin_arguments(plugin["name"], given)}


def build_config(
    name: str, parameters: Mapping[str, object], where: Mapping[str, str] | None = None
) -> ExperimentConfig:
    """Return the checked configuration of one experiment.

    Args:
        name: the experiment's name.
        parameters: parameter → value, plain Python.
        where: parameter → what a message about it starts with, e.g. ``"exps/mine.yaml: MLP.lr"``; the key ``""`` is for
            parameters that were not given.

    Raises:
        UserError: one line on the first thing that is wrong.
    """
    where = where or {}

    def place(key: str) -> str:
        return _place(key, name, where)

    for key in parameters:
        if key == "name":
            raise UserError(f"{place(key)}: an experiment is named by its key in the file, not by a parameter")
        if key not in ExperimentConfig.model_fields:
            hint = ", did you mean num_batch?" if key in _NUMBER_OF_TASKS else near(key, PARAMETER_NAMES)
            raise UserError(f"{place(key)}: unknown parameter{hint}")
    try:
        config = ExperimentConfig.model_validate({**parameters, "name": name})
    except ValidationError as failure:
        error = failure.errors()[0]
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, rules.ClashError):
            blamed = place(cause.key)  # may be an ancestor's or --set's, where another experiment is at fault
            raise UserError(f"{blamed}: {cause}{'' if name in blamed else f' (in {name})'}") from None
        if isinstance(cause, ArgumentError):
            raise UserError(f"{place(cause.key)}: {cause}") from None
        key, *rest = [str(part) for part in error["loc"]]
        inner = "".join(f".{part}" for part in rest)
        raise UserError(f"{place(key)}{inner}: {cause or explain(error)}") from None
    config._where = where
    return config


def _place(key: str, name: str, where: Mapping[str, str]) -> str:
    if key in where:
        return where[key]
    whole, dot, part = key.rpartition(".")  # of an argument, what is known may be where its plugins are from
    return f"{_place(whole, name, where)}.{part}" if dot else f"{where.get('', name)}.{key}"


PARAMETER_NAMES = tuple(key for key in ExperimentConfig.model_fields if key != "name")
_NUMBER_OF_TASKS = ("num_tasks", "n_tasks", "num_experiences", "n_experiences")  # what others call num_batch
