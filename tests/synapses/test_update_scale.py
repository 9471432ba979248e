"""A factor per synapse on the applied change, under every optimizer and storage, against a plain step."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cl_sparse.layers import ActiveLinear, CompactKWinners, WinnerLinear
from cl_sparse.synapses import LazySGD, Ledger, scale_updates
from tests.synapses.nets import NETS, OPTIMIZERS, batch, train_step


def random_scale(ledger: Ledger, seed: int, binary: bool) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scale = {}
    for name, parameter in ledger.parameters().items():
        drawn = torch.rand(parameter.shape, generator=generator)
        scale[name] = (drawn > 0.5).float() if binary else drawn * (drawn > 0.3)
    return scale


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("kind", sorted(NETS))
def test_the_applied_change_is_scaled_step_by_step(kind: str, optimizer: str) -> None:
    """Each scaled step is w + s·(step(w) − w), with the step that a twin takes from the same state."""
    torch.manual_seed(0)
    net = NETS[kind]()
    trained = OPTIMIZERS[optimizer](net)
    ledger = Ledger(net, trained)
    binary = optimizer == "lazy" and kind == "winner"  # with weight decay
    handle = scale_updates(ledger, random_scale(ledger, 1, binary))
    for step in range(4):
        twin = copy.deepcopy(net)
        other = OPTIMIZERS[optimizer](twin)
        other.load_state_dict(copy.deepcopy(trained.state_dict()))
        before = {name: value.clone() for name, value in ledger.current().items()}
        torch.manual_seed(step)
        train_step(net, trained, step)
        torch.manual_seed(step)
        train_step(twin, other, step)
        free = Ledger(twin, other).current()
        for name, value in ledger.current().items():
            expected = before[name] + handle.scale[name] * (free[name] - before[name])
            torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)
            still = handle.scale[name] == 0
            assert torch.equal(value[still], before[name][still])


@settings(max_examples=25)
@given(
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    nesterov=st.booleans(),
    decay=st.sampled_from([0.0, 1e-3, 0.1]),
    binary=st.booleans(),
    steps=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_rows_that_wait_take_their_scaled_steps(
    momentum: float, nesterov: bool, decay: float, binary: bool, steps: int, seed: int
) -> None:
    """LazySGD against torch.optim.SGD on the same net with masks over dense arithmetic, both scaled."""
    torch.manual_seed(seed)
    binary = binary or decay > 0
    settings_ = {"lr": 0.1, "momentum": momentum, "nesterov": nesterov and momentum > 0, "weight_decay": decay}
    lazy = nn.Sequential(
        WinnerLinear(12, 20),
        CompactKWinners(20, 0.1),
        WinnerLinear(20, 20),
        CompactKWinners(20, 0.1),
        ActiveLinear(20, 5),
    ).double()
    plain = copy.deepcopy(lazy)
    ours, theirs = LazySGD(lazy.parameters(), **settings_), torch.optim.SGD(plain.parameters(), **settings_)
    ledgers = Ledger(lazy, ours), Ledger(plain, theirs)
    handles = [scale_updates(ledger, random_scale(ledger, seed, binary)) for ledger in ledgers]
    for step in range(steps):
        for net, optimizer in ((lazy, ours), (plain, theirs)):
            x, y = batch(step, size=3)
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x.double()), y).backward()
            optimizer.step()
        if step == steps // 2:  # other factors, in the middle
            for ledger, handle in zip(ledgers, handles, strict=True):
                handle.set(random_scale(ledger, seed + 1, binary))
    for ours_, theirs_ in zip(ledgers[0].current().values(), ledgers[1].current().values(), strict=True):
        torch.testing.assert_close(ours_, theirs_, rtol=1e-8, atol=1e-10)


def test_lazy_sgd_with_weight_decay_refuses_what_it_cannot_do_exactly() -> None:
    net = NETS["winner"]()
    ledger = Ledger(net, OPTIMIZERS["lazy"](net))
    with pytest.raises(ValueError, match="only without weight decay"):
        scale_updates(ledger, {"0.weight": 0.5})


def test_scales_of_several_callers_multiply_and_are_removed() -> None:
    torch.manual_seed(0)
    net = NETS["dense"]()
    optimizer = OPTIMIZERS["sgd"](net)
    ledger = Ledger(net, optimizer)
    first = scale_updates(ledger, {"0.weight": 0.5}, owner="a")
    second = scale_updates(ledger, {"0.weight": 0.5, "2.bias": 0.0}, owner="b")

    def changes() -> dict[str, torch.Tensor]:
        before = {name: value.clone() for name, value in ledger.current().items()}
        free = copy.deepcopy(net)
        train_step(free, OPTIMIZERS["sgd"](free), 0)
        wanted = {name: value - before[name] for name, value in Ledger(free).current().items()}
        train_step(net, optimizer, 0)
        return {n: ((v - before[n]) / wanted[n])[wanted[n].abs() > 1e-4] for n, v in ledger.current().items()}

    shares = changes()
    torch.testing.assert_close(shares["0.weight"], torch.full_like(shares["0.weight"], 0.25), rtol=1e-2, atol=1e-2)
    assert not shares["2.bias"].any()
    second.remove()
    shares = changes()
    torch.testing.assert_close(shares["0.weight"], torch.full_like(shares["0.weight"], 0.5), rtol=1e-2, atol=1e-2)
    assert shares["2.bias"].all()
    first.remove()
    assert ledger.nbytes == 0
    shares = changes()
    torch.testing.assert_close(shares["0.weight"], torch.ones_like(shares["0.weight"]), rtol=1e-2, atol=1e-2)


def test_factors_follow_a_rewiring_and_new_synapses_are_free() -> None:
    net = NETS["live"]()
    ledger = Ledger(net, OPTIMIZERS["adam"](net))
    handle = scale_updates(ledger, {"0.values": 0.0})
    found = ledger.synapses["0.values"]
    places = torch.ones(20, 12, dtype=torch.bool)
    places[found.places()] = False
    free = places.nonzero()[::7]
    ledger.rewire(found, torch.arange(10), (free[:, 0], free[:, 1]))
    assert int((handle.scale["0.values"] == 1).sum()) == len(free)
    before = found.current().clone()
    train_step(net, ledger.optimizer, 0)
    moved = found.current() != before
    assert not moved[handle.scale["0.values"] == 0].any()
    assert moved.any()


@pytest.mark.parametrize(("scale", "message"), [({"0.weight": -1.0}, "at least 0"), ({"nonsense": 1.0}, "nonsense")])
def test_refusals(scale: dict[str, float], message: str) -> None:
    net = NETS["dense"]()
    with pytest.raises((ValueError, KeyError), match=message):
        scale_updates(Ledger(net, OPTIMIZERS["sgd"](net)), scale)


def test_factors_of_another_shape_are_not_spread_out() -> None:
    net = NETS["dense"]()
    with pytest.raises(ValueError, match=r"one number or \(20, 12\), not \(12,\)"):
        scale_updates(Ledger(net, OPTIMIZERS["sgd"](net)), {"0.weight": torch.ones(12)})


def test_what_is_refused_leaves_the_factors_as_they_were() -> None:
    net = NETS["winner"]()
    ledger = Ledger(net, OPTIMIZERS["lazy"](net))
    with pytest.raises(KeyError, match="nonsense"):
        scale_updates(ledger, {"0.bias": 0.0, "nonsense": 0.0})
    handle = scale_updates(ledger, {"0.bias": 0.0})
    with pytest.raises(ValueError, match="only without weight decay"):
        handle.set({"0.bias": 1.0, "0.weight": 0.5})
    assert not handle.scale["0.bias"].any()
    before = net[0].bias.detach().clone()
    train_step(net, ledger.optimizer, 0)
    assert torch.equal(net[0].bias, before)


def test_removing_a_scale_leaves_its_owners_other_numbers() -> None:
    net = NETS["live"]()
    ledger = Ledger(net, OPTIMIZERS["sgd"](net))
    others = ledger.keep("owner", "others")
    scale_updates(ledger, {"0.values": 0.0}, owner="owner").remove()
    found = ledger.synapses["0.values"]
    ledger.rewire(found, torch.arange(3), (torch.tensor([], dtype=torch.long),) * 2)
    assert others["0.values"].shape == found.parameter.shape


def test_a_ledger_that_let_go_scales_nothing() -> None:
    for kind, optimizer in (("dense", "sgd"), ("winner", "lazy")):
        net = NETS[kind]()
        ledger = Ledger(net, OPTIMIZERS[optimizer](net))
        scale_updates(ledger, dict.fromkeys(ledger.parameters(), 0.0))
        ledger.let_go()
        before = {name: value.clone() for name, value in ledger.current().items()}
        train_step(net, ledger.optimizer, 0)
        assert not any(torch.equal(value, before[name]) for name, value in ledger.current().items())
