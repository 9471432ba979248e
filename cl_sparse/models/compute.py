"""How an MLP computes: the one place that chooses, and that puts in the layers which do it."""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import nn

from cl_sparse.layers import (
    ActiveLinear,
    CompactDropout,
    CompactKWinners,
    KWinners,
    SparseLinear,
    SparseWeights,
    SparseWinnerLinear,
    WinnerLinear,
    normalize_sparse_weights,
)
from cl_sparse.models.blocks import Sparsity, kwinners_layer, linear_block
from cl_sparse.models.heads import Head

Compute = Literal["auto", "reference", "winners"]
"""How to compute k-winners: as masks over dense layers, only what wins, or whichever is faster."""

Weights = Literal["masked", "sparse"]
"""Sparse weights as a mask over dense ones, or only the live ones."""

Way = Literal["reference", "winners", "sparse"]
"""What a net does: masks over dense layers; dense weights, but only what wins; live weights, and only what wins."""

# Up to this share of winners computing only what wins is faster, from 256 units (`python -m perf crossover`). The first
# run on a machine compiles the loops, though, for about 25 s, which narrow nets take long to make up for.
MOST_WINNERS = 0.1
FEWEST_UNITS = 2000


def choose(
    sparsity: Sparsity,
    units: int,
    layers: int,
    compute: Compute,
    weights: Weights,
    device: torch.device | None,
    batch_norm: bool = False,
) -> Way:
    """Return how a net with ``layers`` hidden layers of ``units`` is to compute.

    Args:
        sparsity: of the hidden layers.
        units: of each.
        layers: number of them.
        compute: what the user wants of k-winners.
        weights: what the user wants of sparse weights.
        device: where the net will live, None for the CPU. The compiled loops work on the CPU only: elsewhere "auto" is
            "reference", and layers that were asked for compute with torch's own operations.
        batch_norm: whether units are normalised, for which all of them have to be computed.

    Raises:
        ValueError: ``compute`` is "winners" and the net has no k-winners, or masked weights; or ``weights`` is "sparse"
            and the net is dense; or only what wins is to be computed, and units are normalised.
    """
    if batch_norm and (compute == "winners" or (weights == "sparse" and sparsity.uses_kwinners)):
        raise ValueError("batch_norm needs all units, not those alone that win: choose weights: masked, compute: auto")
    if weights == "sparse":
        if not sparsity.masks_weights:
            raise ValueError("weights: sparse needs sparsify, and weight_sparsity_fc below 1: choose masked")
        return "sparse"
    fits = layers > 0 and sparsity.uses_kwinners and not sparsity.masks_weights and not batch_norm
    if compute == "winners" and not fits:
        raise ValueError(
            "compute: winners needs hidden layers, all with k-winners (sparsify, percent_on_fc below 1) and dense "
            "weights (weight_sparsity_fc 1): choose auto"
        )
    if compute != "auto":
        return compute
    on_cpu = device is None or device.type == "cpu"
    few = round(units * sparsity.percent_on) <= MOST_WINNERS * units
    return "winners" if fits and on_cpu and units >= FEWEST_UNITS and few else "reference"


def hidden_block(
    way: Way, number: int, n_in: int, n_out: int, sparsity: Sparsity, dropout: float, batch_norm: bool
) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules of [Linear → BatchNorm1d → KWinners (or ReLU) → Dropout]; named alike all ways.

    Args:
        way: how it computes.
        number: that of the activation; the inputs of the first are the data.
        n_in: inputs.
        n_out: units.
        sparsity: k-winners and the density of the weights.
        dropout: probability of dropping a unit.
        batch_norm: normalise the units.
    """
    if way == "sparse":
        yield from _sparse_block(number, n_in, n_out, sparsity, dropout, batch_norm)
        return
    for name, module in linear_block(number, n_in, n_out, sparsity, dropout, batch_norm):
        yield name, _computing_winners(module) if way == "winners" else module


def fit_head(way: Way, head: Head, winners: bool, density: float = 1.0) -> None:
    """Let a head take what the features give: if these are winners, its linear layers are replaced, in place.

    Args:
        way: how the net computes.
        head: its head.
        winners: whether the features are winners.
        density: share of non-zero weights that its layers are to have; 1 for dense ones.
    """
    if density < 1:
        _replace_linear_layers(head, lambda linear: _sparse_layer(linear, density, way, winners))
    elif way == "winners":
        _replace_linear_layers(head, ActiveLinear.of)
    elif way == "sparse" and winners:
        _replace_linear_layers(head, lambda linear: SparseLinear.from_dense(linear, inputs="winners"))


def _computing_winners(module: nn.Module) -> nn.Module:
    if isinstance(module, nn.Linear):
        return WinnerLinear.of(module)
    if isinstance(module, KWinners):
        return CompactKWinners.of(module)
    return CompactDropout(module.p) if isinstance(module, nn.Dropout) else module


def _sparse_block(
    number: int, n_in: int, n_out: int, sparsity: Sparsity, dropout: float, batch_norm: bool
) -> Iterator[tuple[str, nn.Module]]:
    density = sparsity.weight_sparsity
    if not sparsity.uses_kwinners:
        yield f"fc{number}", SparseLinear(n_in, n_out, density=density)
        if batch_norm:
            yield f"norm{number}", nn.BatchNorm1d(n_out)
        yield f"act{number}", nn.ReLU()
        if dropout:
            yield f"drop{number}", nn.Dropout(dropout)
        return
    inputs: Literal["any", "winners"] = "any" if number == 1 else "winners"
    yield f"fc{number}", SparseWinnerLinear(n_in, n_out, density=density, inputs=inputs)
    yield f"act{number}", CompactKWinners.of(kwinners_layer(n_out, sparsity))
    if dropout:
        yield f"drop{number}", CompactDropout(dropout)


def _sparse_layer(linear: nn.Linear, density: float, way: Way, winners: bool) -> nn.Module:
    masked = SparseWeights(linear, weight_sparsity=density)
    normalize_sparse_weights(masked)
    return SparseLinear.from_masked(masked, "winners" if winners else "any") if way == "sparse" else masked


def _replace_linear_layers(head: Head, make: Callable[[nn.Linear], nn.Module]) -> None:
    for module in list(head.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, make(child))
