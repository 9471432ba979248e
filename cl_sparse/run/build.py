"""From a config and a benchmark to a learner."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.base import Benchmark
from cl_sparse.config import ExperimentConfig, registry
from cl_sparse.errors import UserError
from cl_sparse.layers import ActiveLinear
from cl_sparse.layers.consumers import WEIGHT_LAYERS
from cl_sparse.layers.inferred_contexts import InferredContexts
from cl_sparse.layers.parts import PartsOfNet
from cl_sparse.models import (
    FeatureClassifier,
    FixedNet,
    HeadFactory,
    IndependentNets,
    MaskedHead,
    MultiHead,
    SimpleCNN,
    SimpleMLP,
    SingleHead,
    WideResNet,
)
from cl_sparse.plugins import (
    DecayBoostStrength,
    Mechanisms,
    OnTop,
    Plugin,
    RezeroWeights,
    SparsityProbe,
    StopOnDivergence,
)
from cl_sparse.run.data_check import blamed_on
from cl_sparse.run.memory import check_memory
from cl_sparse.run.methods import method_plugins, methods_of, strategy_of
from cl_sparse.run.solved import class_table, features_of, readout_of, solved_net
from cl_sparse.seeding import derive_seed
from cl_sparse.strategies.closed_form import ClosedFormLearner
from cl_sparse.strategies.learner import Learner
from cl_sparse.strategies.losses import SquaredError
from cl_sparse.strategies.precision import check_precision
from cl_sparse.synapses import LazySGD, Mechanism
from cl_sparse.synapses.context_means import ContextMeans
from cl_sparse.synapses.distribution import distribute_synapses
from cl_sparse.synapses.readouts import Readout
from cl_sparse.synapses.resize import weight_shape

SHARED = (
    "hidden_units",
    "hidden_layers",
    "widths",
    "sparsify",
    "percent_on_fc",
    "k_inference_factor",
    "boost_strength",
    "boost_strength_factor",
    "duty_cycle_period",
    "weight_sparsity_fc",
    "sparsify_head",
    "dropout",
    "input_dropout",
    "batch_norm",
)
CNN_ONLY = (
    *("conv_channels", "kernel_size", "padding", "stride", "pool", "average_maps"),
    *("percent_on_conv", "weight_sparsity_conv"),
)


def head_factory(config: ExperimentConfig, benchmark: Benchmark) -> HeadFactory:
    """Return what builds the classifier on top of a given number of features."""
    if strategy_of(config).net_per_task:
        return lambda features: SingleHead(features, benchmark.n_outputs)
    if config.effective_heads == "multi":
        return lambda features: MultiHead(features, benchmark.n_tasks, benchmark.n_outputs)
    if benchmark.scenario == "task":
        return lambda features: MaskedHead(features, benchmark.task_classes)
    return lambda features: SingleHead(features, benchmark.n_outputs)


def build_model(
    config: ExperimentConfig, benchmark: Benchmark, seed: int, device: torch.device | None = None
) -> nn.Module:
    """Return the untrained net; its weights depend on the net's seed (null: ``seed``) and the architecture alone.

    Raises:
        UserError: if the architecture does not fit the data, or a net per task its scenario.
    """
    strategy, features = strategy_of(config), features_of(config)
    if strategy.net_per_task:
        _check_labels(config, benchmark, f"strategy: {config.effective_strategy}", "the net")
    seed = config.effective_net_seed(seed)
    if features is not None:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(seed, "init", 0))
            return solved_net(config, features, benchmark)
    copies = benchmark.n_tasks if strategy.net_per_task else 1
    check_memory(config, benchmark.input_shape, copies)
    with torch.random.fork_rng(devices=[]):
        nets = [_build_net(config, benchmark, device, derive_seed(seed, "init", i)) for i in range(copies)]
        net = nets[0]
        if strategy.net_per_task:
            net = IndependentNets(nets)
        torch.default_generator.manual_seed(derive_seed(seed, "parts"))
        return _wrapped(config, net, benchmark)


def _wrapped(config: ExperimentConfig, net: nn.Module, benchmark: Benchmark) -> nn.Module:
    """Let methods put a net of parts in the place of the net; at most one does. Another may infer the labels."""
    for method in methods_of(config, Mechanism):
        before, place = net, f"{config.name}: plugins: {method.name}"
        try:
            net = method.make().wrap(before, benchmark.n_tasks)
        except ValueError as error:
            raise UserError(f"{place}: {error}") from error
        if method.cls.one_net and isinstance(net, IndependentNets):
            raise UserError(f"{place} needs one net for all tasks, not strategy {config.effective_strategy}")
        if net is before or isinstance(net, InferredContexts):
            continue
        _check_labels(config, benchmark, f"plugins: {method.name}", "a task's part")
        if isinstance(before, InferredContexts):
            raise UserError(f"{place}: what infers the task has to be named after it")
        if isinstance(before, PartsOfNet):
            raise UserError(f"{place}: another method gives each task a part of the net already: choose one of the two")
        if isinstance(before, IndependentNets):
            raise UserError(f"{place} needs one net for all tasks, not strategy {config.effective_strategy}")
    return net


def _check_labels(config: ExperimentConfig, benchmark: Benchmark, place: str, what: str) -> None:
    infers = methods_of(config, ContextMeans)
    if benchmark.scenario != "task" and not infers:
        raise UserError(
            f"{config.name}: {place} needs scenario task, not {benchmark.scenario}: {what} is chosen by the task's "
            "label (plugins: context_means infers it)"
        )


def _build_net(config: ExperimentConfig, benchmark: Benchmark, device: torch.device | None, seed: int) -> nn.Module:
    torch.default_generator.manual_seed(seed)
    build, keywords = _kind_of_net(config, device)
    try:
        net: nn.Module = build(benchmark.input_shape, head_factory(config, benchmark), **keywords)
        if config.weight_distribution != "per_unit":
            exact = config.weight_count == "exact"
            distribute_synapses(net, config.weight_distribution, epsilon=config.weight_epsilon, exact=exact)
    except ValueError as error:
        raise UserError(f"{config.name}: {error}") from error
    return net


def _kind_of_net(
    config: ExperimentConfig, device: torch.device | None
) -> tuple[Callable[..., FeatureClassifier], dict[str, Any]]:
    """Return what builds the net, and its arguments beside the samples' shape and the head."""
    if config.residual_blocks is not None:
        own = {name: getattr(config, name) for name in ("widen_factor", "dropout", "input_dropout")}
        return WideResNet, {**own, "blocks": config.residual_blocks}
    keywords = {name: getattr(config, name) for name in SHARED}
    if config.cnn:
        return SimpleCNN, keywords | {name: getattr(config, name) for name in CNN_ONLY}
    return SimpleMLP, keywords | {"compute": _compute(config), "weights": config.weights, "device": device}


def _compute(config: ExperimentConfig) -> str:
    """Return how to compute k-winners: computing only what wins needs SGD, and methods that leave weights alone."""
    plugins = method_plugins(config)
    looking = [name for plugin in plugins for name in _looking(plugin)]
    slowing = [name for plugin in plugins if isinstance(plugin, Mechanisms) for name in plugin.fractional]
    if config.compute == "winners" and slowing and config.weight_decay:
        raise UserError(
            f"{config.name}: compute: winners does not go with weight_decay above 0 and {', '.join(slowing)}, which "
            "slows synapses down by a factor: choose auto, or weight_decay: 0"
        )
    if config.compute == "winners" and looking:
        raise UserError(
            f"{config.name}: compute: winners does not go with {', '.join(looking)}, for which the weights and "
            "gradients of all units have to be there at every step: choose auto"
        )
    # Rows that wait take scaled steps exactly only if nothing decays, or if the factors are 0 and 1.
    auto = config.compute == "auto" and (config.optimizer != "sgd" or config.precision != "float32")
    dense = looking or (slowing and config.weight_decay) or auto
    return "reference" if dense else config.compute


def _looking(plugin: Plugin) -> list[str]:
    """Return the names of the methods in a plugin for which weights and gradients of all units have to be there."""
    if isinstance(plugin, Mechanisms):
        return plugin.needing_all
    return [type(plugin).__name__] if plugin.looks_at_weights else []


def build_optimizer(config: ExperimentConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer; the fused kernels give the same update in one pass over the weights."""
    if config.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
    if config.optimizer == "adamax":
        return torch.optim.Adamax(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    if any(isinstance(module, ActiveLinear) for module in model.modules()):
        return LazySGD(
            model.parameters(),
            lr=config.lr,
            momentum=config.momentum,
            nesterov=config.nesterov,
            weight_decay=config.weight_decay,
        )
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
        fused=True,
    )
    if config.momentum:
        optimizer.register_step_pre_hook(start_momentum)
    return optimizer


def start_momentum(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Give every weight that has its first gradient a momentum of zero: from there its first step is SGD's own.

    Fused SGD fails when some weights have a momentum and others, a new task's head, do not have one yet.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None and "momentum_buffer" not in optimizer.state[parameter]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def build_learner(
    config: ExperimentConfig,
    model: nn.Module,
    benchmark: Benchmark,
    seed: int,
    device: torch.device,
    probes: Sequence[Plugin] = (),
) -> Learner:
    """Return the untrained learner.

    Args:
        config: the experiment.
        model: its net, from :func:`build_model`.
        benchmark: its stream.
        seed: of the run.
        device: where it runs.
        probes: plugins that watch.

    Raises:
        UserError: if a plugin's arguments, or the precision, do not fit.
    """
    try:
        check_precision(model, config.precision)
    except ValueError as error:
        raise UserError(f"{config.place('precision')}: {error}") from error
    keywords: dict[str, Any] = {
        "optimizer": build_optimizer(config, model),
        "train_mb_size": config.mb_size,
        "eval_mb_size": config.eval_mb_size,
        "device": device,
    }
    if isinstance(model, FixedNet):
        drawn = torch.Generator().manual_seed(derive_seed(config.effective_net_seed(seed), "features"))
        classes = class_table(benchmark).to(device)
        return ClosedFormLearner(model=model, class_of=classes, generator=drawn, plugins=list(probes), **keywords)
    _check_batches(config, benchmark)
    if config.loss == "squared":
        keywords["criterion"] = SquaredError()
    methods = method_plugins(config)
    plugins = [plugin for plugin in methods if not plugin.acts_last]
    plugins += [RezeroWeights(), DecayBoostStrength(), StopOnDivergence()]
    on_top = _on_top(config, model, benchmark, device)
    if on_top is not None:
        plugins.append(on_top)
    plugins += [*probes, *(plugin for plugin in methods if plugin.acts_last)]
    keywords |= {"loss_outputs": config.loss_outputs, "precision": config.precision}
    return Learner(model=model, plugins=plugins, **keywords)


def _check_batches(config: ExperimentConfig, benchmark: Benchmark) -> None:
    """Refuse batch normalisation where a task's last mini-batch is one sample."""
    for task, experience in enumerate(benchmark.train_stream if config.batch_norm else ()):
        n = len(experience.dataset)
        if n % config.mb_size == 1:
            raise UserError(
                f"{config.place('mb_size')}: {config.mb_size} leaves 1 of the {n} samples of task {task} for the last "
                "mini-batch, which cannot be normalised (batch_norm): choose another size"
            )


def _on_top(config: ExperimentConfig, model: nn.Module, benchmark: Benchmark, device: torch.device) -> OnTop | None:
    if not methods_of(config, Readout):
        return None
    if not isinstance(model, FeatureClassifier):
        raise UserError(f"{config.name}: plugins: a readout needs one net for all tasks, not one for each")
    resizing = [method.name for method in methods_of(config, Mechanism) if method.cls.resizes]
    if resizing:
        raise UserError(f"{config.name}: plugins: {resizing[0]} changes the units that the readout has sums of")
    layers = [module for module in model.classifier.modules() if isinstance(module, WEIGHT_LAYERS)]
    readout = readout_of(config, weight_shape(layers[0])[1], benchmark)
    assert readout is not None
    return OnTop(readout.to(device), "features", class_table(benchmark).to(device), benchmark.scenario == "task")


def bind_mechanisms(config: ExperimentConfig, learner: Learner, seed: int, probe: SparsityProbe) -> None:
    """Give the learner's mechanisms their ledger now, so that a checkpoint can be loaded; tell the probe of changes.

    Raises:
        UserError: a mechanism cannot work with the net.
    """
    for plugin in learner.plugins:
        if isinstance(plugin, Mechanisms):
            try:
                ledger = plugin.bind(learner.model, learner.optimizer, seed)
            except ValueError as error:
                raise UserError(f"{config.name}: plugins: {error}") from error
            ledger.listeners.append(probe.follow)


def task_information(config: ExperimentConfig, learner: Learner) -> tuple[str, str]:
    """Return what the learner is told about the task in training and at test: "label", "boundaries" or "none"."""
    if learner.model.needs_task_labels:
        return "label", "label"
    if isinstance(learner.model, InferredContexts):
        return "boundaries", "inferred per sample"
    if isinstance(learner, ClosedFormLearner):
        told = learner.model.features.learns_first or config.effective_scenario != "class"
        return ("boundaries" if told else "none"), "none"
    boundaries = any(getattr(plugin, "uses_task_boundaries", False) for plugin in learner.plugins)
    return ("boundaries" if boundaries or config.loss_outputs != "all" else "none"), "none"


def build_benchmark(config: ExperimentConfig, seed: int, data_root: Path | None) -> Benchmark:
    """Return the config's stream of tasks, every choice in it drawn from its seed (null: ``seed``).

    Raises:
        UserError: if the data is absent or does not fit the config.
    """
    create: Any = registry.resolve("benchmark", config.effective_benchmark)
    seed = config.effective_stream_seed(seed)
    with blamed_on(config):
        benchmark: Benchmark = create(seed=seed, data_root=data_root, **config.benchmark_args())
    return benchmark
