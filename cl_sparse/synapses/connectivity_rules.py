"""Which synapses of a layer go, and where others grow: exact counts, ties broken at random."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cl_sparse.synapses.link_prediction import ch3_l3
from cl_sparse.synapses.synapses import Synapses


@dataclass(frozen=True)
class Wiring:
    """What a rule sees of a layer, on the CPU.

    Attributes:
        units, inputs: of each live synapse, long (n,).
        weights: (n,).
        may_go: bool (n,), False for synapses that are preserved.
        free: bool (units, inputs), where a synapse may grow.
        gradient: (units, inputs) of the loss, at places without a synapse too; None where no rule asks.
        coactivation: (units, inputs) how often unit and input were active together; None where no rule asks.
        activity: how often each unit, and each input, was active, (units,) and (inputs,); None where no rule asks.
        generator: draws.
    """

    units: Tensor
    inputs: Tensor
    weights: Tensor
    may_go: Tensor
    free: Tensor
    generator: torch.Generator
    gradient: Tensor | None = None
    coactivation: Tensor | None = None
    activity: tuple[Tensor, Tensor] | None = None

    def without(self, drop: Tensor, again: bool) -> "Wiring":
        """Return the layer when the synapses at the positions ``drop`` have gone.

        Args:
            drop: long (d,).
            again: whether a synapse may grow where one has gone.
        """
        stays = torch.ones(len(self.units), dtype=torch.bool).index_fill_(0, drop, False)
        free = self.free.clone()
        free[self.units[drop], self.inputs[drop]] = again
        return replace(
            self,
            units=self.units[stays],
            inputs=self.inputs[stays],
            weights=self.weights[stays],
            may_go=self.may_go[stays],
            free=free,
        )


def wiring_of(found: Synapses, generator: torch.Generator, scale: Tensor | None = None) -> Wiring:
    """Return a layer as rules see it: synapses may grow wherever none is.

    Args:
        found: of the layer.
        generator: draws.
        scale: factors on updates, in the parameter's shape: only synapses of factor 1 may go. None: all may.
    """
    units, inputs = (ids.cpu() for ids in found.places())
    free = torch.ones(found.shape[0], found.shape[1:].numel(), dtype=torch.bool)
    free[units, inputs] = False
    weights = found.of_live(found.current()).cpu()
    may_go = torch.ones(len(units), dtype=torch.bool) if scale is None else (found.of_live(scale) == 1).cpu()
    return Wiring(units, inputs, weights, may_go, free, generator)


Drop = Callable[[Wiring, float], Tensor]
"""From a layer and a share to the positions, long, of the synapses that go: the share of those that may, rounded."""

Grow = Callable[[Wiring, int], tuple[Tensor, Tensor]]
"""From a layer and a number to unit and input of as many new synapses, or of all free places if there are fewer."""


# -------------------- drop


def smallest(wiring: Wiring, share: float) -> Tensor:
    """Those with the smallest |w|."""
    return _lowest(wiring.weights.abs(), wiring.may_go, share, wiring.generator)


def smallest_by_sign(wiring: Wiring, share: float) -> Tensor:
    """The smallest positive and the largest negative weights, a share of each (Mocanu et al. 2018, SET).

    A weight that is 0, as a synapse's that has just grown, counts as positive.
    """
    return _by_sign(wiring, wiring.weights.abs(), share)


def smallest_weighted(wiring: Wiring, share: float) -> Tensor:
    """By sign, those with the smallest |w|·C, C being the coactivation."""
    return _by_sign(wiring, wiring.weights.abs() * _coactivation(wiring), share)


def least_coactive(wiring: Wiring, share: float) -> Tensor:
    """Those whose ends are active together least often."""
    return _lowest(_coactivation(wiring), wiring.may_go, share, wiring.generator)


def most_coactive(wiring: Wiring, share: float) -> Tensor:
    """Those whose ends are active together most often: the opposite rule."""
    return _lowest(-_coactivation(wiring), wiring.may_go, share, wiring.generator)


def any_synapse(wiring: Wiring, share: float) -> Tensor:
    """Any."""
    return _lowest(torch.zeros(len(wiring.weights)), wiring.may_go, share, wiring.generator)


DROP: dict[str, Drop] = {
    "magnitude": smallest,
    "signed_magnitude": smallest_by_sign,
    "weighted_magnitude": smallest_weighted,
    "coactivation": least_coactive,
    "opposite": most_coactive,
    "random": any_synapse,
}


def dropped(wiring: Wiring, rules: dict[str, float]) -> Tensor:
    """Return the positions of the synapses that go: those that every rule would drop, each its share of those that may.

    Args:
        wiring: of the layer.
        rules: name and share; a rule of share 0 has no say, so that without another one nothing goes.
    """
    asked = {name: share for name, share in rules.items() if share}
    if not asked:
        return torch.zeros(0, dtype=torch.long)
    votes = torch.zeros(len(wiring.weights), dtype=torch.long)
    for name, share in asked.items():
        votes[DROP[name](wiring, share)] += 1
    return (votes == len(asked)).nonzero().flatten()


# -------------------- grow


def anywhere(wiring: Wiring, n: int) -> tuple[Tensor, Tensor]:
    """Anywhere (Mocanu et al. 2018, SET)."""
    return _places(_shuffled(wiring)[:n], wiring)


def steepest(wiring: Wiring, n: int) -> tuple[Tensor, Tensor]:
    """Where the magnitude of the loss's gradient is largest (Evci et al. 2020, RigL)."""
    assert wiring.gradient is not None
    return _highest(wiring.gradient.abs(), wiring, n)


def coactive(wiring: Wiring, n: int) -> tuple[Tensor, Tensor]:
    """Where unit and input are active together most often."""
    assert wiring.coactivation is not None
    return _highest(wiring.coactivation, wiring, n)


def seldom_coactive(wiring: Wiring, n: int) -> tuple[Tensor, Tensor]:
    """Where they are so least often: the opposite rule."""
    assert wiring.coactivation is not None
    return _highest(-wiring.coactivation, wiring, n)


def similar(wiring: Wiring, n: int) -> tuple[Tensor, Tensor]:
    """Where the cosine of their activities, on or off, is largest, c_ij/√(c_ii·c_jj) (after Atashgahi et al. 2022)."""
    assert wiring.coactivation is not None
    assert wiring.activity is not None
    of_units, of_inputs = wiring.activity
    lengths = (of_units[:, None] * of_inputs).sqrt()
    return _highest(torch.where(lengths > 0, wiring.coactivation / lengths.clamp(min=1e-12), 0.0), wiring, n)


def linked(wiring: Wiring, n: int) -> tuple[Tensor, Tensor]:
    """Where paths of three synapses say that one is missing, by topology alone: CH3-L3 (Zhang et al. 2024).

    Places without any path come last, at random. The original takes all places at or above the n-th highest score, more
    than n where there are ties, and fewer where too few have a path.
    """
    live = torch.zeros(wiring.free.shape, dtype=torch.bool)
    live[wiring.units, wiring.inputs] = True
    return _highest(ch3_l3(live), wiring, n)


GROW: dict[str, Grow] = {
    "random": anywhere,
    "gradient": steepest,
    "coactivation": coactive,
    "opposite": seldom_coactive,
    "cosine": similar,
    "ch3": linked,
}

NEED_GRADIENT = frozenset(["gradient"])
NEED_ACTIVITY = frozenset(["cosine"])
NEED_COACTIVATION = frozenset(["weighted_magnitude", "coactivation", "opposite", "cosine"])


# -------------------- what they share


def _coactivation(wiring: Wiring) -> Tensor:
    assert wiring.coactivation is not None
    return wiring.coactivation[wiring.units, wiring.inputs]


def _by_sign(wiring: Wiring, score: Tensor, share: float) -> Tensor:
    negative = wiring.weights < 0
    parts = [_lowest(score, wiring.may_go & sign, share, wiring.generator) for sign in (~negative, negative)]
    return torch.cat(parts)


def _lowest(score: Tensor, among: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return the share of the positions ``among`` (bool) with the lowest score; ties at random."""
    there = among.nonzero().flatten()
    there = there[torch.randperm(len(there), generator=generator)]
    return there[score[there].argsort(stable=True)[: round(share * len(there))]]


def _highest(score: Tensor, wiring: Wiring, n: int) -> tuple[Tensor, Tensor]:
    """Return the n free places with the highest score; ties at random."""
    places = _shuffled(wiring)
    return _places(places[score.flatten()[places].argsort(descending=True, stable=True)[:n]], wiring)


def _shuffled(wiring: Wiring) -> Tensor:
    """Return the free places, counted unit by unit, in random order."""
    places = wiring.free.flatten().nonzero().flatten()
    return places[torch.randperm(len(places), generator=wiring.generator)]


def _places(counted: Tensor, wiring: Wiring) -> tuple[Tensor, Tensor]:
    return counted // wiring.free.shape[1], counted % wiring.free.shape[1]
