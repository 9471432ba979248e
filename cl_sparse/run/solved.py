"""From a config to a net that is solved: fixed features with a readout, or a readout on top of a trained net."""

import torch

from benchmarks.base import Benchmark
from cl_sparse.config import ExperimentConfig
from cl_sparse.errors import UserError
from cl_sparse.layers.fixed_features import FixedFeatures
from cl_sparse.models.fixed import FixedNet
from cl_sparse.run.memory import check_readout_memory
from cl_sparse.run.methods import Method, methods_of
from cl_sparse.synapses.readouts import Readout


def features_of(config: ExperimentConfig) -> Method | None:
    """Return the fixed features that the config names in place of a net, if it does.

    Raises:
        UserError: something goes with them that cannot, or there is no readout.
    """
    features, readouts = methods_of(config, FixedFeatures), methods_of(config, Readout)
    if len(readouts) > 1:
        raise UserError(f"{config.name}: plugins: a net has one readout, not {_named(readouts)}")
    if not features:
        return None
    others = [m for m in methods_of(config, object) if m not in features + readouts]
    if len(features) > 1 or not readouts or others or config.effective_strategy != "sequential":
        what = _named([*features, *readouts, *others]) + f" and strategy {config.effective_strategy}"
        raise UserError(
            f"{config.name}: plugins: fixed features go with one readout (such as discriminant), no other method and "
            f"strategy sequential, not {what}"
        )
    if {config.epochs(0), config.epochs(1)} != {1}:
        raise UserError(f"{config.place('train_ep')}: fixed features pass over the data once: choose train_ep=1")
    if features[0].cls.from_0_to_1 and config.normalize != "unit":
        raise UserError(f"{config.place('normalize')}: {features[0].name} needs inputs from 0 to 1: choose unit")
    return features[0]


def solved_net(config: ExperimentConfig, features: Method, benchmark: Benchmark) -> FixedNet:
    """Return the net, drawn from torch's present seed, nothing learned yet."""
    fixed = features.make(benchmark.input_shape)
    readout = readout_of(config, fixed.width, benchmark)
    assert readout is not None
    return FixedNet(fixed, readout, class_table(benchmark).tolist() if benchmark.scenario == "task" else None)


def readout_of(config: ExperimentConfig, width: int, benchmark: Benchmark) -> Readout | None:
    """Return the readout that the config names, for features of this width, if it does."""
    readouts = methods_of(config, Readout)
    if not readouts:
        return None
    check_readout_memory(config, readouts[0].name, readouts[0].cls.squares, width)
    classes = torch.arange(int(class_table(benchmark).max()) + 1)
    outputs = classes % benchmark.n_outputs if benchmark.scenario == "domain" else classes
    readout: Readout = readouts[0].make(width, outputs.tolist())
    return readout


def class_table(benchmark: Benchmark) -> torch.Tensor:
    """Return what a readout calls the labels of each task, (tasks, outputs): a class for each that means its own."""
    if benchmark.scenario == "class":
        return torch.arange(benchmark.n_outputs).repeat(benchmark.n_tasks, 1)
    return torch.arange(benchmark.n_tasks * benchmark.n_outputs).view(benchmark.n_tasks, -1)


def _named(methods: list[Method]) -> str:
    return ", ".join(method.name for method in methods) or "none"
