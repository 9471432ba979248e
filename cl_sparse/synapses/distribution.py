"""How many synapses each layer of a sparse net has, and drawing them."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn

from cl_sparse.layers import SparseLinear, normalize_sparse_weights
from cl_sparse.synapses.rewire import rewire
from cl_sparse.synapses.synapses import Synapses, synapses_of
from cl_sparse.wiring.places import draw_inputs

Distribution = Literal["uniform", "erdos_renyi", "erdos_renyi_kernel"]
"""Equally dense layers; as many synapses as a layer's units and inputs say; or these and the sides of its kernels."""


def live_counts(shapes: Mapping[str, torch.Size], distribution: Distribution, total: int) -> dict[str, int]:
    """Return how many of ``total`` synapses each layer gets.

    - "uniform": the same share of its places;
    - "erdos_renyi": ε·(units + inputs), times the area of a kernel (Mocanu et al. 2018);
    - "erdos_renyi_kernel": ε·(units + inputs + height + width of a kernel) (Evci et al. 2020, ERK; of linear layers the
      same as before), ε being the same for all.

    A layer for which that is more than it has places gets all of them, and the others more. What is left by rounding
    goes to the largest remainders: the sum is exact.

    Args:
        shapes: (units, inputs, ...) of each layer, by name.
        distribution: as above.
        total: synapses in all.

    Raises:
        ValueError: there are not that many places.
    """
    places = {name: shape.numel() for name, shape in shapes.items()}
    if not 0 <= total <= sum(places.values()):
        raise ValueError(f"there are {sum(places.values())} places for synapses, and {total} were asked for")
    weights, full = {name: _weight(shape, distribution) for name, shape in shapes.items()}, set[str]()
    while True:
        left = total - sum(places[name] for name in full)
        epsilon = left / max(1.0, sum(weight for name, weight in weights.items() if name not in full))
        crowded = {name for name in weights.keys() - full if epsilon * weights[name] > places[name]}
        if not crowded:
            break
        full |= crowded
    ideal = {name: float(places[name]) if name in full else epsilon * weight for name, weight in weights.items()}
    counts = {name: int(ideal[name]) for name in shapes}
    by_remainder = sorted(shapes, key=lambda name: counts[name] - ideal[name])
    for name in [name for name in by_remainder if counts[name] < places[name]][: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def distribute_synapses(
    model: nn.Module,
    distribution: Distribution,
    *,
    density: float | None = None,
    epsilon: float | None = None,
    exact: bool = True,
) -> dict[str, int]:
    """Draw the synapses of a net's sparse layers anew, and their weights: every place of a layer is equally likely.

    To be called before a ledger, or training, begins. Parameters stay the same objects. Draws from torch's global
    random numbers; weights and biases as ``normalize_sparse_weights`` does, uniform in ±1/√(live inputs of the unit).

    Args:
        model: with layers that are masked, or store their live synapses; the others are left alone.
        distribution: see :func:`live_counts`.
        density: share of all these layers' places that live; default: as many synapses as there are now.
        epsilon: ε itself, in place of a density: round(ε·(units + inputs)) synapses (but no more than places). Not for
            "uniform".
        exact: whether counts are exact. Otherwise each place lives by itself with the layer's share as its probability:
            the mask is Bernoulli's.

    Returns:
        The number of live synapses of each sparse layer, by the name of its weight.

    Raises:
        ValueError: no layer is sparse, or an argument is out of range.
    """
    layers = {found.name: found for found in synapses_of(model) if found.stored in ("masked", "live")}
    counts = _asked(layers, distribution, density, epsilon)
    with torch.no_grad():
        for name, found in layers.items():
            if not exact:
                share = torch.tensor(counts[name] / found.positions, dtype=torch.float64)
                counts[name] = int(torch.binomial(torch.tensor(float(found.positions), dtype=torch.float64), share))
            _draw(found, counts[name])
    normalize_sparse_weights(model)
    for module in model.modules():
        if isinstance(module, SparseLinear):
            module.reset_parameters()
    return counts


def _asked(
    layers: Mapping[str, Synapses], distribution: Distribution, density: float | None, epsilon: float | None
) -> dict[str, int]:
    if not layers:
        raise ValueError("no layer is sparse: wrap it in SparseWeights or store it as a SparseLinear")
    if density is not None and epsilon is not None:
        raise ValueError("give a density or epsilon, not both")
    if density is not None and not 0 <= density <= 1:
        raise ValueError(f"density must be from 0 to 1, not {density}")
    shapes = {name: found.shape for name, found in layers.items()}
    if epsilon is not None:
        if distribution == "uniform" or not epsilon >= 0:
            raise ValueError(f"epsilon must be at least 0, for erdos_renyi or erdos_renyi_kernel, not {epsilon}")
        return {n: min(shape.numel(), round(epsilon * _weight(shape, distribution))) for n, shape in shapes.items()}
    now = sum(found.n_live for found in layers.values())
    places = sum(shape.numel() for shape in shapes.values())
    return live_counts(shapes, distribution, now if density is None else round(density * places))


def _weight(shape: torch.Size, distribution: Distribution) -> float:
    """Return what a layer's number of synapses is proportional to."""
    nodes, kernel = sum(shape[:2]), shape[2:]
    if distribution == "uniform":
        return shape.numel()
    if distribution == "erdos_renyi":
        return nodes * kernel.numel()
    if distribution == "erdos_renyi_kernel":
        return nodes + sum(kernel)
    raise ValueError(f"distribution must be uniform, erdos_renyi or erdos_renyi_kernel, not {distribution}")


def _draw(found: Synapses, count: int) -> None:
    inputs = found.shape[1:].numel()
    places = draw_inputs(1, found.positions, count, found.parameter.device)[1]
    rewire(found, torch.arange(found.n_live), (places // inputs, places % inputs))
