"""Which parameters of an experiment go together, as far as that is known before any data are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cl_sparse.config.registry import BENCHMARKS, FOR_NUMBERS, Stream
from cl_sparse.config.wording import join_or, near

if TYPE_CHECKING:
    from cl_sparse.config.model import ExperimentConfig


class ClashError(ValueError):
    """Parameters that do not go together; ``key`` is the one to change."""

    def __init__(self, key: str, problem: str) -> None:
        """Blame ``key``; ``problem`` is one line."""
        super().__init__(problem)
        self.key = key


CLASSES = {
    "mnist": 10,
    "fashion_mnist": 10,
    "cifar10": 10,
    "cifar100": 100,
    "census_income": 2,
    "digits": 10,
    "poker": 10,
    "hasy": 369,
}
_SIDE = {"mnist": 28, "fashion_mnist": 28, "cifar10": 32, "cifar100": 32, "hasy": 32, "digits": 8}  # pixels
_USER_DATA = ("image_folder:", "npz:")


def benchmark_name(config: ExperimentConfig) -> str:
    """Return the benchmark's registered name; the source's ``mnist`` and ``cifar`` are translated.

    Raises:
        ClashError: if there is no such benchmark.
    """
    if config.benchmark == "mnist":
        if config.mnist_mode is None:
            raise ClashError("mnist_mode", "benchmark mnist needs perm or split")
        return "PermutedMNIST" if config.mnist_mode == "perm" else "SplitMNIST"
    if config.mnist_mode is not None:
        raise ClashError("mnist_mode", f"is for benchmark mnist only, not {config.benchmark}: choose null")
    if config.benchmark == "cifar":
        by_tasks = {None: "iCIFAR10", 5: "iCIFAR10", 10: "iCIFAR100"}
        if config.num_batch not in by_tasks:
            raise ClashError(
                "num_batch",
                f"{config.num_batch} tasks: benchmark cifar has 5 (CIFAR-10) or 10 (CIFAR-100); "
                "for others choose benchmark iCIFAR10 or iCIFAR100",
            )
        return by_tasks[config.num_batch]
    if config.benchmark not in BENCHMARKS:
        raise ClashError(
            "benchmark",
            f"unknown benchmark {config.benchmark!r}{near(config.benchmark, [*BENCHMARKS, 'mnist', 'cifar'])}",
        )
    return config.benchmark


def check(config: ExperimentConfig) -> None:
    """Refuse combinations that cannot work, as far as that is known without data.

    Raises:
        ClashError: for the first one found.
    """
    name = benchmark_name(config)
    stream = BENCHMARKS[name]
    dataset = _dataset(config, name, stream)
    if stream.kind == "numbers":
        _check_numbers(config, name)
    _check_scenario(config, name, stream)
    _check_options(config, name, stream)
    if stream.kind == "split":
        _check_task_count(config, dataset, stream)
    _check_strategy(config)
    _check_plugins(config)
    _check_net(config, dataset)
    if config.optimizer == "sgd" and config.nesterov and config.momentum == 0:
        raise ClashError("nesterov", "Nesterov momentum needs momentum above 0: set momentum, or nesterov to false")


def _dataset(config: ExperimentConfig, name: str, stream: Stream) -> str | None:
    chosen = config.dataset or stream.dataset
    if config.dataset not in (None, stream.dataset) and not stream.choosable:
        used = stream.dataset or "data of its own"
        raise ClashError("dataset", f"{name} always uses {used}, not {config.dataset}: choose null")
    if chosen is None and not stream.needs_dataset:
        return None
    if chosen is None:
        raise ClashError("dataset", f"{name} needs one, for example npz:my_embeddings.npz or image_folder:my_images")
    if chosen.startswith(_USER_DATA):
        if chosen.endswith(":"):
            raise ClashError("dataset", f"{chosen!r} names no file or folder after the colon")
    elif chosen not in CLASSES:
        raise ClashError(
            "dataset", f"unknown data set {chosen!r}{near(chosen, [*CLASSES, 'npz:FILE', 'image_folder:DIR'])}"
        )
    return chosen


def _check_scenario(config: ExperimentConfig, name: str, stream: Stream) -> None:
    scenario = config.effective_scenario
    if scenario == "class" and stream.kind not in ("split", None):
        raise ClashError("scenario", f"{name} has the same classes in every task: choose domain or task, not class")
    if config.heads == "multi" and scenario != "task":
        raise ClashError("heads", f"multi needs scenario task, not {scenario}: the head is chosen by the task's label")
    if config.loss_outputs != "all" and scenario != "class":
        raise ClashError(
            "loss_outputs", f"{config.loss_outputs} is for scenario class only, not {scenario}: choose all"
        )
    if config.loss == "squared" and config.loss_outputs != "all":
        raise ClashError("loss", f"squared is over all outputs, loss_outputs {config.loss_outputs} is not: choose all")
    if config.loss == "squared" and scenario == "task" and config.effective_heads == "single":
        raise ClashError("loss", "squared does not go with one head masked to a task's classes: choose heads: multi")


def _check_options(config: ExperimentConfig, name: str, stream: Stream) -> None:
    if config.class_order is not None and stream.kind != "split":
        raise ClashError("class_order", f"{name} does not split the classes: choose null")
    if config.max_angle is not None and stream.kind != "rotated":
        raise ClashError("max_angle", f"{name} does not rotate anything: choose null")


def _check_numbers(config: ExperimentConfig, name: str) -> None:
    """Refuse what is for classes."""
    problem = f"{name} has numbers as targets, no classes"
    if config.effective_scenario != "domain":
        raise ClashError("scenario", f"{problem}: choose domain, not {config.scenario}")
    if config.loss != "squared":
        raise ClashError("loss", f"{problem}: choose squared, not {config.loss}")
    if config.normalize != "standard":
        raise ClashError("normalize", f"unit is for images, and {name} has none: choose standard")
    if config.cnn:
        raise ClashError("cnn", f"true is for images, and {name} has none: choose false")
    if config.effective_strategy not in FOR_NUMBERS:
        raise ClashError("strategy", f"{problem}: choose sequential, joint or cumulative, not {config.strategy}")
    for plugin in config.plugins:
        if plugin["name"] not in FOR_NUMBERS or plugin.get("protect") == "important":
            named = f"{plugin['name']}{' with protect: important' * ('protect' in plugin)}"
            raise ClashError("plugins", f"{problem}, which {named} needs: leave it out")


def _check_task_count(config: ExperimentConfig, dataset: str | None, stream: Stream) -> None:
    classes, n_tasks = CLASSES.get(dataset or ""), config.num_batch or stream.n_tasks
    if classes is None or n_tasks is None:
        return  # a user's own data: the benchmark checks when it has read them
    smallest = 1 if config.effective_scenario == "class" else 2
    possible = [n for n in range(1, classes // smallest + 1) if classes % n == 0]
    if n_tasks in possible:
        return
    if classes % n_tasks:
        problem = f"{n_tasks} does not divide the {classes} classes of {dataset}"
    else:
        problem = f"{n_tasks} leaves each task a single one of the {classes} classes of {dataset}"
    raise ClashError("num_batch", f"{problem}: choose {join_or(possible)}")


def _check_strategy(config: ExperimentConfig) -> None:
    if config.cumul and config.strategy not in ("sequential", "joint", "cumulative"):
        raise ClashError("cumul", f"true does not go with strategy {config.strategy}: choose one of the two")


def _check_plugins(config: ExperimentConfig) -> None:
    named = {plugin["name"] for plugin in config.plugins}
    if {"decay_learning_rate", "step_learning_rate"} <= named:
        raise ClashError("plugins", "decay_learning_rate and step_learning_rate both set it: choose one of the two")
    win = config.percent_on_fc < 1 or (config.cnn and config.percent_on_conv < 1)
    if "anneal_winners" in named and not (config.sparsify and win):
        raise ClashError("plugins", "anneal_winners needs k-winners: sparsify, percent_on_fc below 1")


def _check_net(config: ExperimentConfig, dataset: str | None) -> None:
    if config.residual_blocks is not None:
        _check_residual(config)
    elif config.cnn:
        _check_convolutions(config, dataset)
    if config.batch_norm and config.mb_size == 1:
        raise ClashError("mb_size", "1 sample cannot be normalised over the mini-batch (batch_norm): choose more")
    if config.cnn and config.weights == "sparse":
        raise ClashError(
            "weights", "sparse is for an MLP (cnn false): a CNN stores its weights as masked: choose masked"
        )
    if config.precision == "bf16" and (config.weights == "sparse" or config.compute == "winners"):
        raise ClashError("precision", "bf16 goes with weights: masked and compute: auto or reference: choose float32")
    _check_weights(config)
    narrowest = min(config.effective_widths, default=0)
    if config.sparsify and not (narrowest or config.cnn or config.sparsify_head):
        raise ClashError("sparsify", "is of hidden layers, and there is none: choose false, or hidden_layers 1")
    if config.sparsify and narrowest and round(config.percent_on_fc * narrowest) < 1:
        raise ClashError("percent_on_fc", f"{config.percent_on_fc:g} of {narrowest} hidden units is no unit at all")
    if config.widths_from is not None and config.widths is not None:
        raise ClashError("widths_from", "goes without widths: choose null for one of the two")
    if config.compute == "winners" and not (
        config.sparsify and not config.cnn and config.percent_on_fc < 1 and config.weight_sparsity_fc == 1
    ):
        raise ClashError(
            "compute",
            "winners needs an MLP (cnn false) with sparsify, percent_on_fc below 1 and weight_sparsity_fc "
            "1: choose auto",
        )


def _check_weights(config: ExperimentConfig) -> None:
    sparse = config.weight_sparsity_fc < 1 or (config.cnn and config.weight_sparsity_conv < 1)
    if config.weight_distribution != "per_unit" and not (config.sparsify and sparse):
        raise ClashError("weight_distribution", "is of sparse weights: sparsify, with a weight_sparsity below 1")
    if config.weight_epsilon is not None and not config.weight_distribution.startswith("erdos_renyi"):
        raise ClashError(
            "weight_epsilon", "is for weight_distribution erdos_renyi or erdos_renyi_kernel: choose one, or null"
        )
    if config.weight_count == "bernoulli" and config.weight_distribution == "per_unit":
        raise ClashError("weight_count", "bernoulli needs another weight_distribution than per_unit: choose uniform")
    if config.sparsify_head and not (config.sparsify and config.weight_sparsity_fc < 1):
        raise ClashError("sparsify_head", "true needs sparsify, and weight_sparsity_fc below 1: choose false")


def _check_residual(config: ExperimentConfig) -> None:
    if not config.cnn:
        raise ClashError("residual_blocks", "are convolutions: choose cnn: true, or null")
    if not config.batch_norm:
        raise ClashError("batch_norm", "a residual net is normalised: choose true, or residual_blocks null")
    if config.sparsify:
        raise ClashError("sparsify", "a residual net is dense, with ReLU: choose false, or residual_blocks null")
    if config.widths_from is not None:
        raise ClashError("widths_from", "a residual net has a widen_factor, no widths: choose null for one of the two")


def _check_convolutions(config: ExperimentConfig, dataset: str | None) -> None:
    if config.padding and config.kernel_size % 2 == 0:
        raise ClashError("kernel_size", f"maps keep their size (padding) with an odd one, not {config.kernel_size}")
    start = side = _SIDE.get(dataset or "", 10**9)
    for number, _ in enumerate(config.conv_channels, start=1):
        reach = 0 if config.padding else config.kernel_size - 1
        side = ((side - reach - 1) // config.stride + 1) // config.pool
        if side < 1:
            raise ClashError(
                "cnn",
                f"nothing is left of the {start}x{start} pixels of {dataset} behind convolution {number}: choose "
                "false, padding, or fewer conv_channels",
            )
    fewest = min(config.conv_channels)
    if config.sparsify and round(config.percent_on_conv * fewest) < 1:
        raise ClashError("percent_on_conv", f"{config.percent_on_conv:g} of {fewest} channels is no channel at all")
