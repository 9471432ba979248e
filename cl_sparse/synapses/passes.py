"""Looking at what passes through the weight layers of a net: inputs, and gradients at the outputs, sample by sample."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cl_sparse.layers.consumers import Consumers
from cl_sparse.layers.functional import HALF
from cl_sparse.layers.layer_mask import LayerMask
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.synapses.observing import observing
from cl_sparse.synapses.synapses import Synapses

LAYERS = (nn.Linear, nn.Conv2d, SparseLinear)


def needs_labels(model: nn.Module) -> bool:
    """Return whether a model is called with task labels too: ours say so, Avalanche's have a method for one task."""
    return bool(getattr(model, "needs_task_labels", hasattr(model, "forward_single_task")))


def logits_of(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """Return the logits of a batch ``(x, y, task labels)``, of which the labels are for models that need them."""
    logits: Tensor = model(batch[0], batch[2]) if needs_labels(model) else model(batch[0])
    return logits


def loss_of_classes(logits: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross-entropy of a batch.

    Args:
        logits: (B, C).
        y: classes (B,), or what share of a sample is of each, (B, C).

    Raises:
        ValueError: targets are numbers, not classes.
    """
    if y.is_floating_point() and (y.shape != logits.shape or logits.shape[1] == 1):
        raise ValueError("cross-entropy needs classes as targets, not numbers")
    return cross_entropy(logits, y)


def in_full(x: Tensor) -> Tensor:
    """Return what passed a layer, in float32 if that was in 16 bits (autocast): to be added up."""
    return x.float() if x.dtype in HALF else x


def first(batches: Iterable[tuple[Tensor, ...]], samples: int | None) -> Iterator[tuple[Tensor, ...]]:
    """Yield batches up to so many samples in all."""
    left = samples
    for batch in batches:
        yield tuple(part[:left] for part in batch)
        if left is not None:
            left -= len(batch[0])
            if left <= 0:
                return


def weight_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return, by name, the layers whose gradients are a sum over samples of (gradient at the output) × (input).

    Raises:
        ValueError: a parameter of the model is of another kind of layer, or of a convolution in groups; or a layer
            computes with some of its weights only.
    """
    masked = [name for name, module in model.named_modules() if isinstance(module, LayerMask)]
    if masked:
        raise ValueError(f"{masked[0]} masks weights that stay in the net, whose gradients are not those of its layer")
    found: dict[str, nn.Module] = {n: module for n, module in model.named_modules() if isinstance(module, LAYERS)}
    for name, module in found.items():
        check_convolution(name, module)
    known = {id(parameter) for module in found.values() for parameter in module.parameters(recurse=False)}
    unknown = [name for name, parameter in model.named_parameters() if id(parameter) not in known]
    if unknown:
        raise ValueError(f"{unknown[0]} is of no linear layer or convolution, of which alone samples can be told apart")
    return found


def check_convolution(name: str, module: nn.Module) -> None:
    """Raise ValueError if a layer is a convolution of which :func:`as_rows` does not know the inputs."""
    if isinstance(module, nn.Conv2d) and (
        module.groups != 1 or module.padding_mode != "zeros" or isinstance(module.padding, str)
    ):
        raise ValueError(f"{name}: convolutions in groups, or padded otherwise than by zeros, are not known")


def readers_of(synapses: Iterable[Synapses], consumers: Mapping[str, Consumers]) -> dict[str, list[str]]:
    """Return, by the name of each hidden layer, the layers that read its units; of masked ones the layers within.

    Args:
        synapses: of all layers.
        consumers: who consumes a layer's units, by its name.
    """
    inside = {found.layer: found.inside for found in synapses}
    return {inside[layer]: [inside[reader] for reader in own.readers] for layer, own in consumers.items()}


def as_rows(module: nn.Module, x: Tensor) -> Tensor:
    """Return a layer's inputs as its weights meet them, (samples, places, inputs): a convolution has many places."""
    if isinstance(module, nn.Conv2d):
        padding: Any = module.padding
        patches = nn.functional.unfold(x, module.kernel_size, module.dilation, padding, module.stride)
        return patches.transpose(1, 2)
    return x.reshape(len(x), -1, x.shape[-1])


def outputs_as_rows(module: nn.Module, grad: Tensor) -> Tensor:
    """Return what is at a layer's outputs as (samples, places, units)."""
    if isinstance(module, nn.Conv2d):
        return grad.flatten(2).transpose(1, 2)
    return grad.reshape(len(grad), -1, grad.shape[-1])


@contextmanager
def watching(layers: dict[str, nn.Module]) -> Iterator[dict[str, list[tuple[Tensor, Tensor]]]]:
    """Note the inputs, without gradient, and the outputs of layers, by name, each time that one is called."""
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in layers}

    def note(name: str) -> Callable[..., None]:
        return lambda _, inputs, output: seen[name].append((in_dense(inputs[0]).detach(), output))

    hooks = [module.register_forward_hook(note(name)) for name, module in layers.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def per_sample_mean(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, ...]],
    objective: Callable[[Tensor, Tensor], Tensor],
    power: Callable[[Tensor], Tensor],
    samples: int | None = None,
) -> dict[str, Tensor]:
    """Return the mean over samples of a function of each sample's own gradient, by the parameter's name.

    Where a layer meets each sample in one place, the sum over samples of power(δ_u · a_i) is the product of two
    matrices.

    Args:
        model: looked at, and left as it is.
        batches: ``(x, y, task labels)``.
        objective: from logits (batch, outputs) and y to what is differentiated, summed over the batch.
        power: ``torch.square`` or ``torch.abs``: of a product it has to be the product of its factors' own.
        samples: the first ones, to average over; None: all.
    """
    layers, seen = weight_layers(model), 0
    sums = {name: torch.zeros_like(parameter, requires_grad=False) for name, parameter in model.named_parameters()}
    with observing(model):
        for batch in first(batches, samples):
            for name, a, delta in inputs_and_gradients(model, layers, batch, objective):
                _add(sums, name, layers[name], a, delta, power)
            seen += len(batch[0])
    return {name: found.div_(max(1, seen)) for name, found in sums.items()}


def chunk_mean(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, ...]],
    objective: Callable[[Tensor, Tensor], Tensor],
    power: Callable[[Tensor], Tensor],
    together: int,
) -> dict[str, Tensor]:
    """Return the mean over samples of a function of the mean gradient of ``together`` samples, the sample's among them.

    Args:
        model, batches, objective: as in :func:`per_sample_mean`.
        power: any function of a gradient, entry by entry.
        together: samples whose gradients are averaged first; fewer where a batch ends.
    """
    parameters, seen = dict(model.named_parameters()), 0
    sums = {name: torch.zeros_like(parameter, requires_grad=False) for name, parameter in parameters.items()}
    with observing(model), torch.enable_grad():
        for batch in batches:
            for chunk in zip(*(torch.split(part, together) for part in batch), strict=True):
                total, count = objective(logits_of(model, chunk), chunk[1]), len(chunk[0])
                gradients = torch.autograd.grad(total / count, list(parameters.values()), allow_unused=True)
                for name, gradient in zip(parameters, gradients, strict=True):
                    if gradient is not None:
                        sums[name] += count * power(gradient.to_dense())
                seen += count
    return {name: found.div_(max(1, seen)) for name, found in sums.items()}


def inputs_and_gradients(
    model: nn.Module,
    layers: dict[str, nn.Module],
    batch: tuple[Tensor, ...],
    objective: Callable[[Tensor, Tensor], Tensor],
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield, for each call of a layer, its name, its inputs and the gradients at its outputs, sample by sample.

    Args:
        model: to be called in a mode in which samples do not depend on each other.
        layers: of :func:`weight_layers`.
        batch: ``(x, y, task labels)``.
        objective: from logits (batch, outputs) and y to what is differentiated, summed over the batch.

    Yields:
        Name, inputs (batch, places, inputs), gradients (batch, places, units).
    """
    with torch.enable_grad(), watching(layers) as calls:
        total = objective(logits_of(model, batch), batch[1])
    called = [(name, *call) for name, own in calls.items() for call in own]
    gradients = torch.autograd.grad(total, [output for *_, output in called], allow_unused=True)
    for (name, x, _), gradient in zip(called, gradients, strict=True):
        if gradient is not None:
            yield name, as_rows(layers[name], x), outputs_as_rows(layers[name], gradient)


def _add(
    sums: dict[str, Tensor],
    name: str,
    module: nn.Module,
    a: Tensor,
    delta: Tensor,
    power: Callable[[Tensor], Tensor],
) -> None:
    one_place = a.shape[1] == 1
    of_weights = power(delta[:, 0]).T @ power(a[:, 0]) if one_place else power(delta.transpose(1, 2) @ a).sum(0)
    if isinstance(module, SparseLinear):
        units, inputs = module.indices
        sums[f"{name}.values"] += of_weights[units, inputs]
    else:
        sums[f"{name}.weight"] += of_weights.view_as(sums[f"{name}.weight"])
    if module.bias is not None:
        sums[f"{name}.bias"] += power(delta.sum(1)).sum(0)


def in_dense(x: Any) -> Tensor:
    """Return what enters a layer as a tensor, winners that are listed too."""
    dense: Tensor = x if isinstance(x, Tensor) else x.dense()
    return dense
