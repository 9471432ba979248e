"""Which synapses of a layer go, and where others grow: exact counts, ties broken at random."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cl_sparse.synapses.link_prediction import ch3_l3
from cl_sparse.synapses.synapses import Synapses
from cl_sparse.wiring.places import draw_free


@dataclass(frozen=True)
class Numbers:
    """A number for each live synapse, (n,), and for each place where one may grow, (m,)."""

    live: Tensor
    free: Tensor


@dataclass(frozen=True)
class Wiring:
    """What a rule sees of a layer, on the CPU. Places are counted unit by unit: place = unit·inputs + input.

    Attributes:
        shape: numbers of units and inputs.
        units, inputs: of each live synapse, long (n,).
        weights: (n,).
        may_go: bool (n,), False for synapses that are preserved.
        free: long (m,), sorted, the places where a synapse may grow.
        gradient: of the loss; None where no rule asks.
        coactivation: how often unit and input were active together; None where no rule asks.
        activity: how often each unit, and each input, was active, (units,) and (inputs,); None where no rule asks.
        generator: draws.
    """

    shape: tuple[int, int]
    units: Tensor
    inputs: Tensor
    weights: Tensor
    may_go: Tensor
    free: Tensor
    generator: torch.Generator
    gradient: Numbers | None = None
    coactivation: Numbers | None = None
    activity: tuple[Tensor, Tensor] | None = None

    @property
    def places(self) -> Tensor:
        """Place of each live synapse, long (n,)."""
        return self.units * self.shape[1] + self.inputs

    def pick(self, dense: Tensor) -> Numbers:
        """Return the numbers (units, inputs) of all places as those of live and free ones."""
        flat = dense.flatten()
        return Numbers(flat[self.places], flat[self.free])

    def without(self, drop: Tensor, again: bool) -> "Wiring":
        """Return the layer when the synapses at the positions ``drop`` have gone.

        Args:
            drop: long (d,).
            again: whether a synapse may grow where one has gone.
        """
        stays = torch.ones(len(self.units), dtype=torch.bool).index_fill_(0, drop, False)
        gone = drop if again else drop[:0]
        free, order = torch.cat([self.free, self.places[gone]]).sort()

        def of(numbers: Numbers | None) -> Numbers | None:
            if numbers is None:
                return None
            return Numbers(numbers.live[stays], torch.cat([numbers.free, numbers.live[gone]])[order])

        return replace(
            self,
            units=self.units[stays],
            inputs=self.inputs[stays],
            weights=self.weights[stays],
            may_go=self.may_go[stays],
            free=free,
            gradient=of(self.gradient),
            coactivation=of(self.coactivation),
        )


def wiring_of(
    found: Synapses, generator: torch.Generator, scale: Tensor | None = None, free: Tensor | None = None
) -> Wiring:
    """Return a layer as rules see it.

    Args:
        found: of the layer.
        generator: draws.
        scale: factors on updates, in the parameter's shape: only synapses of factor 1 may go. None: all may.
        free: long (m,), sorted, the places where a synapse may grow; None: wherever none is.
    """
    units, inputs = (ids.cpu() for ids in found.places())
    shape = (found.shape[0], found.shape[1:].numel())
    if free is None:
        free = draw_free(units * shape[1] + inputs, found.positions, None)
    weights = found.of_live(found.current()).cpu()
    may_go = torch.ones(len(units), dtype=torch.bool) if scale is None else (found.of_live(scale) == 1).cpu()
    return Wiring(shape, units, inputs, weights, may_go, free, generator)


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
    order = torch.randperm(len(wiring.free), generator=wiring.generator)
    return _at(wiring.free[order[:n]], wiring)


def steepest(wiring: Wiring, n: int) -> tuple[Tensor, Tensor]:
    """Where the magnitude of the loss's gradient is largest (Evci et al. 2020, RigL)."""
    assert wiring.gradient is not None
    return _highest(wiring.gradient.free.abs(), wiring, n)


def coactive(wiring: Wiring, n: int) -> tuple[Tensor, Tensor]:
    """Where unit and input are active together most often."""
    assert wiring.coactivation is not None
    return _highest(wiring.coactivation.free, wiring, n)


def seldom_coactive(wiring: Wiring, n: int) -> tuple[Tensor, Tensor]:
    """Where they are so least often: the opposite rule."""
    assert wiring.coactivation is not None
    return _highest(-wiring.coactivation.free, wiring, n)


def similar(wiring: Wiring, n: int) -> tuple[Tensor, Tensor]:
    """Where the cosine of their activities, on or off, is largest, c_ij/√(c_ii·c_jj) (after Atashgahi et al. 2022)."""
    assert wiring.coactivation is not None
    assert wiring.activity is not None
    units, inputs = _at(wiring.free, wiring)
    lengths = (wiring.activity[0][units] * wiring.activity[1][inputs]).sqrt()
    together = wiring.coactivation.free
    return _highest(torch.where(lengths > 0, together / lengths.clamp(min=1e-12), 0.0), wiring, n)


def linked(wiring: Wiring, n: int) -> tuple[Tensor, Tensor]:
    """Where paths of three synapses say that one is missing, by topology alone: CH3-L3 (Zhang et al. 2024).

    Places without any path come last, at random. The original takes all places at or above the n-th highest score, more
    than n where there are ties, and fewer where too few have a path.
    """
    live = torch.zeros(wiring.shape, dtype=torch.bool)
    live[wiring.units, wiring.inputs] = True
    return _highest(wiring.pick(ch3_l3(live)).free, wiring, n)


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
    return wiring.coactivation.live


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
    """Return the n free places with the highest score (m,); ties at random."""
    order = torch.randperm(len(wiring.free), generator=wiring.generator)
    return _at(wiring.free[order[score[order].argsort(descending=True, stable=True)[:n]]], wiring)


def _at(places: Tensor, wiring: Wiring) -> tuple[Tensor, Tensor]:
    """Return unit and input of places."""
    return places // wiring.shape[1], places % wiring.shape[1]
