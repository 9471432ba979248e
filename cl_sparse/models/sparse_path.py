"""The hidden layers and the head of an MLP whose sparse weights are stored as such, with nothing held at zero."""

from collections.abc import Iterator
from typing import Literal

from torch import nn

from cl_sparse.layers import CompactDropout, CompactKWinners, SparseLinear, SparseWinnerLinear
from cl_sparse.models.blocks import Sparsity
from cl_sparse.models.heads import Head

Weights = Literal["masked", "sparse"]
"""Sparse weights as a mask over dense ones, or only the live ones."""


def sparse_block(
    number: int, n_in: int, n_out: int, sparsity: Sparsity, dropout: float, first: bool
) -> Iterator[tuple[str, nn.Module]]:
    """Yield the named modules of [SparseLinear → KWinners (or ReLU) → Dropout], named as those of ``linear_block``.

    Args:
        number: that of the activation.
        n_in: inputs.
        n_out: units.
        sparsity: its ``weight_sparsity`` is the density of the weights.
        dropout: probability of dropping a unit.
        first: whether the inputs are the data, and not winners.
    """
    if not sparsity.uses_kwinners:
        yield f"fc{number}", SparseLinear(n_in, n_out, density=sparsity.weight_sparsity)
        yield f"act{number}", nn.ReLU()
        if dropout:
            yield f"drop{number}", nn.Dropout(dropout)
        return
    inputs: Literal["any", "winners"] = "any" if first else "winners"
    yield f"fc{number}", SparseWinnerLinear(n_in, n_out, density=sparsity.weight_sparsity, inputs=inputs)
    yield (
        f"act{number}",
        CompactKWinners(
            n_out,
            percent_on=sparsity.percent_on,
            k_inference_factor=sparsity.k_inference_factor,
            boost_strength=sparsity.boost_strength,
            boost_strength_factor=sparsity.boost_strength_factor,
            duty_cycle_period=sparsity.duty_cycle_period,
        ),
    )
    if dropout:
        yield f"drop{number}", CompactDropout(dropout)


def take_winners(head: Head) -> None:
    """Let a head take winners: its linear layers become, in place, ``SparseLinear`` of full density by inputs."""
    for module in list(head.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, SparseLinear.from_dense(child, inputs="winners"))
