"""How much a task needs each synapse: what is asked when it ends, of the net as it is then."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from cl_sparse.synapses.observing import observing
from cl_sparse.synapses.passes import (
    as_rows,
    chunk_mean,
    first,
    inputs_and_gradients,
    logits_of,
    outputs_as_rows,
    per_sample_mean,
    watching,
    weight_layers,
)

Batches = Iterable[tuple[Tensor, ...]]
LABELS = "drawn: from the net's predictions (Fisher information); given: the data's (empirical)."
OUTPUT = "What the loss takes outputs for: softmax: logits of classes; gaussian: means of targets (loss: squared)."
TEMPERATURE = (
    "Of the predictions that the information is of: above 1, also what the net is sure of counts, "
    "and c means less, by the temperature's square."
)


@dataclass(frozen=True)
class Likelihood:
    """Of what the Fisher information is taken: log p(y|x), p = softmax(logits / temperature).

    With ``output`` "gaussian" the outputs are the means of normal distributions, log p(y|x) = −‖y − f(x)‖²/2 and a
    constant: what the squared error is the loss of. Targets that are classes are one-hot. The temperature divides both.

    A net that is sure of its training data has little Fisher information there, and synapses that are held by it are
    held softly. A temperature above 1, as distillation has it (Hinton, Vinyals and Dean 2015), asks how much the logits
    depend on a synapse even there.

    Attributes:
        labels: y is "drawn" from p, or "given": the data's (the empirical Fisher information).
        samples: the first ones, to average over; None: all.
        output: "softmax" or "gaussian".
        temperature: .01 to 100; 1: the net's own predictions. Gradients, as functions of the logits, are smaller by
            it, and the information by its square: a strength means less.

    Raises:
        ValueError: unknown labels or output, or a number out of range.
    """

    labels: Literal["drawn", "given"] = "drawn"
    samples: int | None = None
    temperature: float = 1.0
    output: Literal["softmax", "gaussian"] = "softmax"

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.labels not in ("drawn", "given"):
            raise ValueError(f"labels must be drawn or given, not {self.labels!r}")
        if self.output not in ("softmax", "gaussian"):
            raise ValueError(f"output must be softmax or gaussian, not {self.output!r}")
        if not (self.samples is None or self.samples >= 1) or not 0.01 <= self.temperature <= 100:
            raise ValueError(
                f"samples must be at least 1, temperature from .01 to 100, not {self.samples}, {self.temperature}"
            )

    def summed(self, generator: torch.Generator) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the function from outputs (batch, outputs) and the data's y to Σ log p(y|x); ``generator`` draws y."""

        def log_gaussian(outputs: Tensor, y: Tensor) -> Tensor:
            means = outputs / self.temperature
            if self.labels == "drawn":
                noise = torch.randn(means.shape, generator=generator, dtype=means.dtype)
                return -0.5 * (means - (means.detach() + noise.to(means.device))).square().sum()
            wanted = nn.functional.one_hot(y, means.shape[1]) if y.dim() == 1 and not y.is_floating_point() else y
            return -0.5 * (means - wanted.view_as(means) / self.temperature).square().sum()

        def log_likelihood(logits: Tensor, y: Tensor) -> Tensor:
            log_p = (logits / self.temperature).log_softmax(1)
            return log_p.gather(1, (y if self.labels == "given" else _drawn(log_p, generator))[:, None]).sum()

        return log_gaussian if self.output == "gaussian" else log_likelihood


def fisher(
    model: nn.Module, batches: Batches, generator: torch.Generator, of: Likelihood | None = None
) -> dict[str, Tensor]:
    """Return the mean over samples of the squared gradient of log p(y|x), each sample's own, by the parameter's name.

    With y drawn from p it is the diagonal of the Fisher information.

    Args:
        model: as it is when the task has ended.
        batches: ``(x, y, task labels)``.
        generator: draws y.
        of: the likelihood, and of which samples; None: of the net's predictions, all.
    """
    of = of or Likelihood()
    return per_sample_mean(model, batches, of.summed(generator), torch.square, of.samples)


def fisher_factors(
    model: nn.Module,
    batches: Batches,
    generator: torch.Generator,
    of: Likelihood | None = None,
    layers: dict[str, nn.Module] | None = None,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return A and B of each layer, B⊗A being close to the Fisher information about its weights and biases.

    A is the mean of a·aᵀ over a layer's inputs, with an input that is always 1 last; B the mean over samples of δ·δᵀ, δ
    the gradient of log p(y|x) at the layer's units (Martens and Grosse 2015). Where a layer meets a sample in many
    places, A is the mean over them and B the sum (Grosse and Martens 2016). For one sample in one place it is exact.

    Args:
        model: as it is when the task has ended.
        batches: ``(x, y, task labels)``.
        generator: draws y.
        of: the likelihood, and of which samples; None: of the net's predictions, all.
        layers: of :func:`weight_layers`, those that are asked about; None: all.

    Returns:
        (inputs + 1, inputs + 1) and (units, units), double, by the name of each layer that was called.
    """
    of = of or Likelihood()
    layers, seen = weight_layers(model) if layers is None else layers, 0
    sums: dict[str, tuple[Tensor, Tensor]] = {}
    rows: dict[str, int] = {}
    with observing(model):
        for batch in first(batches, of.samples):
            for name, a, delta in inputs_and_gradients(model, layers, batch, of.summed(generator)):
                a, delta = nn.functional.pad(a, (0, 1), value=1.0).flatten(0, 1), delta.flatten(0, 1)
                inputs, units = (a.T @ a).double(), (delta.T @ delta).double()
                old = sums.get(name, (torch.zeros_like(inputs), torch.zeros_like(units)))
                sums[name], rows[name] = (old[0] + inputs, old[1] + units), rows.get(name, 0) + len(a)
            seen += len(batch[0])
    return {name: (inputs / rows[name], units / seen) for name, (inputs, units) in sums.items()}


def sensitivity(model: nn.Module, batches: Batches, together: int = 1) -> dict[str, Tensor]:
    """Return the mean over samples of |∂‖f(x)‖²/∂w|, by the parameter's name (Aljundi et al. 2018, eq. 2 and 4).

    Args:
        model: as it is when the task has ended.
        batches: ``(x, y, task labels)``; y is not looked at.
        together: samples whose gradients are averaged before the absolute value is taken; 1, as in the paper.
    """
    if together == 1:
        return per_sample_mean(model, batches, _squared_length, torch.abs)
    return chunk_mean(model, batches, _squared_length, torch.abs, together)


def _squared_length(logits: Tensor, _: Tensor) -> Tensor:
    return logits.square().sum()


@torch.no_grad()
def use(model: nn.Module, batches: Batches, readers: Mapping[str, Sequence[str]]) -> dict[str, Tensor]:
    """Return the share of samples in which a synapse's unit and its input are both active, by the layer's name.

    An input is active where it is not 0, and a unit where what its reader gets of it is not; a head's units always are.

    Args:
        model: as it is when the task has ended; of linear layers.
        batches: ``(x, y, task labels)``.
        readers: by the name of each hidden layer, those that read its units.

    Returns:
        (units, inputs) for each layer that was called.

    Raises:
        ValueError: a layer is a convolution, or a unit is several inputs of its reader.
    """
    layers, seen = weight_layers(model), 0
    sums: dict[str, Tensor] = {}
    with observing(model):
        for batch in batches:
            with watching(layers) as calls:
                logits_of(model, batch)
            called = {name: own[0] for name, own in calls.items() if own}
            inputs = {name: (as_rows(layers[name], x) != 0).float() for name, (x, _) in called.items()}
            for name, (_, output) in called.items():
                reader = next((reader for reader in readers.get(name, ()) if reader in called), None)
                units = torch.ones_like(outputs_as_rows(layers[name], output)) if reader is None else inputs[reader]
                if inputs[name].shape[1] != 1 or units.shape[2] != output.shape[-1]:
                    raise ValueError(f"{name}: which of its units are active is known of linear layers only")
                both = units[:, 0].T @ inputs[name][:, 0]
                sums[name] = sums[name] + both if name in sums else both
            seen += len(batch[0])
    return {name: found / max(1, seen) for name, found in sums.items()}


def _drawn(log_p: Tensor, generator: torch.Generator) -> Tensor:
    p = log_p.detach().exp().cpu()
    return torch.multinomial(p, 1, generator=generator)[:, 0].to(log_p.device)
