"""Rules of dropping and growing against slow references: exact counts, the right ones, ties at random."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_sparse.synapses.connectivity_rules import DROP, GROW, Wiring, dropped
from tests.synapses.test_link_prediction import slow_ch3


def a_wiring(seed: int, units: int = 5, inputs: int = 7, distinct: bool = True) -> Wiring:
    generator = torch.Generator().manual_seed(seed)
    live = torch.rand(units, inputs, generator=generator) < 0.5
    live[0, 0] = True
    at = live.nonzero(as_tuple=True)
    n = len(at[0])
    draw = (
        torch.randn
        if distinct
        else (lambda *shape, generator: torch.randint(-1, 2, shape, generator=generator).float())
    )
    counts = (
        torch.rand if distinct else (lambda *shape, generator: torch.randint(0, 3, shape, generator=generator).float())
    )
    free = ~live & (torch.rand(units, inputs, generator=generator) < 0.9)
    wiring = Wiring(
        shape=(units, inputs),
        units=at[0],
        inputs=at[1],
        weights=draw(n, generator=generator),
        may_go=torch.rand(n, generator=generator) < 0.8,
        free=free.flatten().nonzero().flatten(),
        generator=generator,
        activity=(counts(units, generator=generator), counts(inputs, generator=generator)),
    )
    gradient, coactivation = draw(units, inputs, generator=generator), counts(units, inputs, generator=generator)
    return replace(wiring, gradient=wiring.pick(gradient), coactivation=wiring.pick(coactivation))


def score_of(name: str, wiring: Wiring, position: int) -> float:
    """How much there is for keeping a synapse."""
    weight = abs(float(wiring.weights[position]))
    together = float(wiring.coactivation.live[position])
    return {
        "magnitude": weight,
        "signed_magnitude": weight,
        "weighted_magnitude": weight * together,
        "coactivation": together,
        "opposite": -together,
        "random": 0.0,
    }[name]


def worth_of(name: str, wiring: Wiring, unit: int, place: int) -> float:
    """How much there is for growing at a place."""
    number = wiring.free.tolist().index(unit * wiring.shape[1] + place)
    together = float(wiring.coactivation.free[number])
    length = float(wiring.activity[0][unit] * wiring.activity[1][place]) ** 0.5
    return {
        "random": 0.0,
        "gradient": abs(float(wiring.gradient.free[number])),
        "coactivation": together,
        "opposite": -together,
        "cosine": together / length if length else 0.0,
        "ch3": slow_ch3(mask_of(wiring), unit, place) if name == "ch3" else 0.0,
    }[name]


def mask_of(wiring: Wiring) -> torch.Tensor:
    live = torch.zeros(wiring.shape, dtype=torch.bool)
    live[wiring.units, wiring.inputs] = True
    return live


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1), distinct=st.booleans(), name=st.sampled_from(sorted(DROP)))
def test_a_share_of_the_synapses_with_the_least_goes(seed, share, distinct, name):
    wiring = a_wiring(seed, distinct=distinct)
    gone = DROP[name](wiring, share)
    assert len(set(gone.tolist())) == len(gone)
    assert wiring.may_go[gone].all()
    groups = [wiring.may_go]
    if name in ("signed_magnitude", "weighted_magnitude"):
        groups = [wiring.may_go & (wiring.weights >= 0), wiring.may_go & (wiring.weights < 0)]
    for group in groups:
        there = group.nonzero().flatten().tolist()
        mine = [position for position in gone.tolist() if group[position]]
        assert len(mine) == round(share * len(there))
        scores = sorted(score_of(name, wiring, position) for position in there)
        assert sorted(score_of(name, wiring, position) for position in mine) == pytest.approx(scores[: len(mine)])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(0, 30), distinct=st.booleans(), name=st.sampled_from(sorted(GROW)))
def test_the_free_places_with_the_most_are_taken(seed, n, distinct, name):
    wiring = a_wiring(seed, distinct=distinct)
    units, inputs = GROW[name](wiring, n)
    places = list(zip(units.tolist(), inputs.tolist(), strict=True))
    free = [divmod(place, wiring.shape[1]) for place in wiring.free.tolist()]
    assert len(places) == len(set(places)) == min(n, len(free))
    assert set(places) <= set(free)
    worths = sorted((worth_of(name, wiring, *place) for place in free), reverse=True)
    mine = sorted((worth_of(name, wiring, *place) for place in places), reverse=True)
    assert mine == pytest.approx(worths[: len(mine)])


def test_ties_are_broken_at_random():
    wiring = a_wiring(0)
    for rules, share_or_n in ((DROP, 0.5), (GROW, 3)):
        met = {str(rules["random"](wiring, share_or_n)) for _ in range(20)}
        assert len(met) > 10


@pytest.mark.parametrize("again", [False, True])
def test_what_has_gone_is_in_the_way_no_more(again):
    wiring = a_wiring(2)
    left = wiring.without(torch.tensor([1, 3]), again)
    stays = torch.tensor([i for i in range(len(wiring.units)) if i not in (1, 3)])
    for name in ("units", "inputs", "weights", "may_go"):
        assert torch.equal(getattr(left, name), getattr(wiring, name)[stays])
    gone = wiring.places[[1, 3]].tolist() if again else []
    assert left.free.tolist() == sorted(wiring.free.tolist() + gone)
    for kind in ("gradient", "coactivation"):
        before, after = getattr(wiring, kind), getattr(left, kind)
        known = dict(
            zip(
                torch.cat([wiring.places, wiring.free]).tolist(),
                torch.cat([before.live, before.free]).tolist(),
                strict=True,
            )
        )
        assert after.live.tolist() == [known[place] for place in left.places.tolist()]
        assert after.free.tolist() == [known[place] for place in left.free.tolist()]


def test_what_all_rules_would_drop_goes():
    wiring = a_wiring(3)
    both = set(dropped(wiring, {"magnitude": 0.5, "coactivation": 0.6}).tolist())
    alone = [set(DROP[name](wiring, share).tolist()) for name, share in (("magnitude", 0.5), ("coactivation", 0.6))]
    assert both == alone[0] & alone[1]
    assert set(dropped(wiring, {"magnitude": 0.5, "coactivation": 0.0}).tolist()) == alone[0]
    assert set(dropped(wiring, {"magnitude": 0.5, "coactivation": 1.0}).tolist()) == alone[0]
    assert len(dropped(wiring, {"magnitude": 0.0})) == len(dropped(wiring, {})) == 0
