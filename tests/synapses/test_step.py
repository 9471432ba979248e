"""What mechanisms are told of a step, whatever kind of step it is."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from cl_sparse.layers import ActiveLinear, CompactKWinners, WinnerLinear
from cl_sparse.synapses import (
    Frozen,
    LazySGD,
    Ledger,
    Mechanism,
    Needs,
    Step,
    SynapticIntelligence,
    Touched,
    scale_updates,
)
from tests.synapses.nets import NETS, OPTIMIZERS, batch, train_step


class Seen(Mechanism):
    """Keep what it is told."""

    needs = Needs.TOUCHED

    def after_step(self, step: Step) -> None:
        self.step = step


def watched(net: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Ledger, Seen]:
    ledger, seen = Ledger(net, optimizer), Seen()
    ledger.attach(seen)
    return ledger, seen


@pytest.mark.parametrize("positional", [True, False])
def test_a_closures_step_is_scaled_and_seen(positional: bool) -> None:
    net = NETS["dense"]()
    optimizer = OPTIMIZERS["sgd"](net)
    ledger, seen = watched(net, optimizer)
    scale_updates(ledger, {"0.weight": 0.0})
    before = net[0].weight.detach().clone()
    x, y = batch(0)

    def closure() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        return loss.item()

    loss = optimizer.step(closure) if positional else optimizer.step(closure=closure)
    assert loss == pytest.approx(1.6, abs=0.5)
    assert torch.equal(net[0].weight, before)
    assert seen.step.touched["2.weight"].change.any()
    assert seen.step.touched["2.weight"].grad.any()


def test_sparse_gradients_of_an_embedding_are_scaled_and_seen() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(10, 3, sparse=True), nn.Flatten(), nn.Linear(6, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    ledger, seen = watched(net, optimizer)
    scale = torch.ones(10, 3)
    scale[4], scale[7] = 0.0, 0.5
    scale_updates(ledger, {"0.weight": scale})
    before = net[0].weight.detach().clone()
    net(torch.tensor([[4, 7], [7, 1], [1, 1]])).square().sum().backward()
    grad = net[0].weight.grad.to_dense()
    optimizer.step()
    torch.testing.assert_close(net[0].weight.detach(), before - 0.5 * scale * grad)
    touched = seen.step.touched["0.weight"].once()
    assert touched.at is not None
    assert touched.at[0].tolist() == [1, 4, 7]
    torch.testing.assert_close(touched.grad, grad[touched.at])
    torch.testing.assert_close(touched.change, (net[0].weight.detach() - before)[touched.at])
    torch.testing.assert_close(touched.now, net[0].weight.detach()[touched.at])


def winner_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        WinnerLinear(12, 20),
        CompactKWinners(20, 0.1),
        WinnerLinear(20, 20),
        CompactKWinners(20, 0.1),
        ActiveLinear(20, 5),
    )


def test_repeated_entries_count_once() -> None:
    net = winner_net()
    ledger, seen = watched(net, LazySGD(net.parameters(), lr=0.1))
    for step in range(3):
        before = {name: value.clone() for name, value in ledger.current().items()}
        train_step(net, ledger.optimizer, step)
        repeats = 0
        for name, found in ledger.synapses.items():
            touched = seen.step.touched[name]
            once = touched.once()
            dense = ledger.parameters()[name].grad.to_dense()
            for part in (touched, once):
                torch.testing.assert_close(part.now, found.current(part.at))
                if part.at is not None:
                    torch.testing.assert_close(part.change, found.current(part.at) - before[name][part.at])
            if touched.at is None or once.at is None:
                continue
            repeats += len(touched.at[0]) - len(once.at[0])
            torch.testing.assert_close(once.grad, dense[once.at])
            assert len(set(zip(*(ids.tolist() for ids in once.at), strict=True))) == len(once.at[0])
        assert repeats > 0


def test_updates_that_were_put_off_are_not_a_dense_steps_change() -> None:
    net = winner_net()
    optimizer = LazySGD(net.parameters(), lr=0.1, momentum=0.9)
    ledger, seen = watched(net, optimizer)
    for step in range(4):
        train_step(net, optimizer, step)
    before = {name: value.clone() for name, value in ledger.current().items()}
    optimizer.zero_grad()
    net[2].stored_weight().square().sum().backward()
    optimizer.step()
    touched = seen.step.touched["2.weight"]
    assert touched.at is None
    torch.testing.assert_close(touched.change, ledger.current()["2.weight"] - before["2.weight"])


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam", "lazy"])
def test_what_is_frozen_stays_through_a_step_that_is_not_finite(optimizer: str) -> None:
    for kind in ("dense", "winner"):
        net = NETS[kind]()
        ledger = Ledger(net, OPTIMIZERS[optimizer](net))
        train_step(net, ledger.optimizer, 0)
        scale = (torch.arange(net[0].weight.numel()) % 2).reshape(net[0].weight.shape).float()
        scale_updates(ledger, {"0.weight": scale})
        before = ledger.current()["0.weight"].clone()
        x, y = batch(1)
        ledger.optimizer.zero_grad()
        (nn.functional.cross_entropy(net(x), y) * 1e38 * 1e10).backward()
        ledger.optimizer.step()
        now = ledger.current()["0.weight"]
        assert torch.equal(now[scale == 0], before[scale == 0])
        assert not now[scale == 1].isfinite().all()


@pytest.mark.parametrize("make", ["sgd", "fused", "lazy"])
def test_under_a_gradient_scaler(make: str) -> None:
    """Steps that overflow are skipped and unseen; the others are as without a scaler."""
    found = []
    for scaled in (False, True):
        torch.manual_seed(0)
        net = winner_net() if make == "lazy" else NETS["dense"]()
        made: dict[str, Any] = {
            "sgd": lambda net: torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.5),
            "fused": lambda net: torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.5, fused=True),
            "lazy": lambda net: LazySGD(net.parameters(), lr=0.1, momentum=0.5),
        }
        optimizer = made[make](net)
        scaler = torch.amp.GradScaler("cpu", enabled=scaled, init_scale=2.0**10)
        ledger = Ledger(net, optimizer)
        si = SynapticIntelligence(c=3.0, mode="slow")
        ledger.attach(si)
        ledger.before_task(0)
        for step in range(5):
            x, y = batch(step)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            if step == 2 and not scaled:
                continue
            (scaler.scale(loss) * (1e38 if step == 2 else 1)).backward()
            scaler.step(optimizer)
            scaler.update()
        ledger.after_task(0)
        found.append((si.importance, {name: value.clone() for name, value in ledger.current().items()}))
    for plain, through_scaler in zip(*found, strict=True):
        for name, value in plain.items():
            torch.testing.assert_close(through_scaler[name], value, rtol=1e-4, atol=1e-6)


def test_a_copy_goes_on_like_the_original() -> None:
    torch.manual_seed(0)
    net = NETS["masked"]()
    ledger = Ledger(net, OPTIMIZERS["nesterov"](net))
    ledger.attach(Frozen(0.5))
    ledger.attach(SynapticIntelligence())
    ledger.before_task(0)
    train_step(net, ledger.optimizer, 0, ledger)
    ledger.after_task(0)
    copies = copy.deepcopy((net, ledger.optimizer, ledger))
    for its_net, its_optimizer, its_ledger in ((net, ledger.optimizer, ledger), copies):
        its_ledger.before_task(1)
        train_step(its_net, its_optimizer, 1, its_ledger)
        its_ledger.after_task(1)
    for name, value in ledger.current().items():
        assert torch.equal(copies[2].current()[name], value)
    ours, its = ledger.state_dict()["numbers"], copies[2].state_dict()["numbers"]
    assert all(torch.equal(a[2][n], b[2][n]) for a, b in zip(ours, its, strict=True) for n in a[2])


def test_touched_of_all_entries_is_there_once() -> None:
    touched = Touched(None, torch.ones(2), torch.ones(2), torch.ones(2))
    assert touched.once() is touched


@pytest.mark.parametrize("foreach", [True, False])
def test_gradients_that_a_step_writes_into_are_seen_as_they_were(foreach: bool) -> None:
    net = NETS["dense"]()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, foreach=foreach)
    _, seen = watched(net, optimizer)
    for step in range(2):
        x, y = batch(step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        expected = {name: parameter.grad.clone() for name, parameter in net.named_parameters()}
        optimizer.step()
        assert all(torch.equal(seen.step.touched[name].grad, grad) for name, grad in expected.items())


@pytest.mark.parametrize("mode", ["penalty", "slow"])
def test_a_copy_that_begins_with_the_mechanism_watches_as_well(mode: Any) -> None:
    net = NETS["dense"]()
    ledger = Ledger(net, OPTIMIZERS["sgd"](net))
    si = SynapticIntelligence(mode=mode)
    ledger.attach(si)
    ledger.before_task(0)
    its_si, its_net, its_optimizer = copy.deepcopy((si, net, ledger.optimizer))
    train_step(net, ledger.optimizer, 0, ledger)
    train_step(its_net, its_optimizer, 0, its_si.ledger)
    assert all(torch.equal(its_si.path[name], path) for name, path in si.path.items())
    assert si.path["0.weight"].any()


@pytest.mark.parametrize("kind", ["live", "masked"])
def test_a_step_tells_the_values_that_new_synapses_were_given(kind: str) -> None:
    class Grow(Mechanism):
        needs = Needs.TOUCHED

        def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
            self.ledger = ledger

        def after_step(self, step: Step) -> None:
            found = next(iter(self.ledger.synapses.values()))
            units, inputs = found.places()
            self.ledger.rewire(found, torch.tensor([0]), (units[:1], inputs[:1]), torch.tensor([0.5]))

    net = NETS[kind]()
    optimizer = OPTIMIZERS["sgd"](net)
    ledger = Ledger(net, optimizer)
    ledger.attach(Grow())
    seen = Seen()
    ledger.attach(seen)
    train_step(net, optimizer, 0)
    found = next(iter(ledger.synapses.values()))
    assert found.of_live(seen.step.touched[found.name].now)[0] == 0.5
