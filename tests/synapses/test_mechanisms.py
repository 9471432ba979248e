"""Mechanisms in a plain loop, on every storage: what they promise, against slow references."""

import copy
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cl_sparse.layers import ActiveLinear, CompactKWinners, KWinnersBase, WinnerLinear
from cl_sparse.synapses import Frozen, LazySGD, Ledger, Mechanism, Needs, Step, SynapticIntelligence, observing
from tests.synapses.nets import NETS, OPTIMIZERS, batch, train_step


def course(ledger: Ledger, tasks: int = 3, steps: int = 4) -> None:
    """Train on a stream of random tasks."""
    for task in range(tasks):
        ledger.before_task(task)
        for step in range(steps):
            train_step(ledger.model, ledger.optimizer, 100 * task + step, ledger)
        ledger.after_task(task)


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("kind", sorted(NETS))
@pytest.mark.parametrize("rule", ["magnitude", "random"])
def test_frozen_synapses_never_change_again(kind: str, optimizer: str, rule: Any) -> None:
    torch.manual_seed(0)
    net = NETS[kind]()
    ledger = Ledger(net, OPTIMIZERS[optimizer](net))
    frozen = Frozen(0.5, rule, leave=["*bias"])
    ledger.attach(frozen)
    counts = {name: found.n_live for name, found in ledger.synapses.items()}
    free = dict(counts)
    for task in range(3):
        kept = {n: v.clone() for n, v in ledger.current().items()}
        still = {n: s == 0 for n, s in frozen.updates.scale.items()}
        ledger.before_task(task)
        for step in range(3):
            train_step(net, ledger.optimizer, 10 * task + step, ledger)
        for name, value in ledger.current().items():
            assert torch.equal(value[still[name]], kept[name][still[name]]), name
        assert any(bool((v != kept[n]).any()) for n, v in ledger.current().items())
        ledger.after_task(task)
        free = {name: n - round(0.5 * n) for name, n in free.items()}
        assert frozen.frozen() == {name: n - free[name] for name, n in counts.items()}
    assert not any(name.endswith("bias") and still[name].any() for name in still)


def test_frozen_takes_the_largest() -> None:
    net = nn.Sequential(nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[0.1, -3.0, 2.0, -0.2]]))
    ledger = Ledger(net, torch.optim.SGD(net.parameters(), lr=0.1))
    frozen = Frozen(0.5)
    ledger.attach(frozen)
    ledger.after_task(0)
    assert frozen.updates.scale["0.weight"].tolist() == [[1.0, 0.0, 0.0, 1.0]]


@pytest.mark.parametrize("kind", sorted(NETS))
def test_path_integral_and_importance_are_those_of_the_paper(kind: str) -> None:
    """Against a loop that differentiates the loss itself and looks at all weights before and after every step."""
    torch.manual_seed(0)
    net = NETS[kind]().double()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    ledger = Ledger(net, optimizer)
    mode: Any = "slow" if kind == "winner" else "penalty"
    si = SynapticIntelligence(c=0.7 if mode == "penalty" else 0.0, xi=0.01, mode=mode)
    ledger.attach(si)
    omega = {name: torch.zeros_like(p) for name, p in ledger.parameters().items()}
    for task in range(2):
        ledger.before_task(task)
        path = {name: torch.zeros_like(p) for name, p in omega.items()}
        start = {name: value.clone() for name, value in ledger.current().items()}
        for step in range(5):
            x, y = batch(10 * task + step)
            loss = nn.functional.cross_entropy(net(x.double()), y)
            parameters = ledger.parameters()
            of_loss = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True)
            penalty = sum((omega[n] * (p - start[n]).square()).sum() for n, p in parameters.items())
            torch.testing.assert_close(ledger.penalty(), 0.7 * penalty if mode == "penalty" else 0.0)
            optimizer.zero_grad()
            (loss + ledger.penalty()).backward()
            before = {name: value.clone() for name, value in ledger.current().items()}
            optimizer.step()
            for (name, value), grad in zip(ledger.current().items(), of_loss, strict=True):
                path[name] -= grad.to_dense() * (value - before[name])
        for name in path:
            torch.testing.assert_close(si.path[name], path[name], rtol=1e-6, atol=1e-12)
            moved = (ledger.current()[name] - start[name]).square()
            omega[name] += path[name].clamp(min=0) / (moved + 0.01)
        ledger.after_task(task)
        for name, expected in omega.items():
            torch.testing.assert_close(si.importance[name], expected, rtol=1e-6, atol=1e-12)
    assert all(bool(o.any()) for o in omega.values())


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_on_the_winner_path_the_importances_are_those_of_masks_over_dense_arithmetic(momentum: float) -> None:
    torch.manual_seed(0)
    lazy = nn.Sequential(
        WinnerLinear(12, 40),
        CompactKWinners(40, 0.05),
        WinnerLinear(40, 40),
        CompactKWinners(40, 0.05),
        ActiveLinear(40, 5),
    ).double()
    plain = copy.deepcopy(lazy)
    found = []
    for net, make in ((lazy, LazySGD), (plain, torch.optim.SGD)):
        ledger = Ledger(net, make(net.parameters(), lr=0.1, momentum=momentum))
        si = SynapticIntelligence(c=5.0, xi=0.01, mode="slow")
        ledger.attach(si)
        for task in range(3):
            ledger.before_task(task)
            for step in range(8):
                x, y = batch(10 * task + step, size=3)
                ledger.optimizer.zero_grad()
                nn.functional.cross_entropy(net(x.double()), y).backward()
                ledger.optimizer.step()
            ledger.after_task(task)
        found.append((si.importance, ledger.current()))
    for ours, theirs in zip(*found, strict=True):
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], rtol=1e-6, atol=1e-9)
    assert float(found[0][0]["2.weight"].max()) > 0.05  # slowed by a fifth and more


def test_importance_holds_weights_back() -> None:
    torch.manual_seed(0)
    drift = []
    for c in (0.0, 100.0):
        torch.manual_seed(1)
        net = NETS["dense"]()
        ledger = Ledger(net, OPTIMIZERS["adam"](net))
        ledger.attach(SynapticIntelligence(c=c))
        course(ledger, tasks=1)
        before = {name: value.clone() for name, value in ledger.current().items()}
        ledger.before_task(1)
        for step in range(6):
            train_step(net, ledger.optimizer, 900 + step, ledger)
        drift.append(sum(float((v - before[n]).square().sum()) for n, v in ledger.current().items()))
    assert drift[1] < 0.7 * drift[0]


def test_a_mechanism_that_needs_all_is_refused_by_layers_that_compute_only_what_wins() -> None:
    net = NETS["winner"]()
    with pytest.raises(ValueError, match="compute: reference"):
        Ledger(net, OPTIMIZERS["lazy"](net)).attach(SynapticIntelligence())


class RandomRewiring(Mechanism):
    """Drop and grow at random every few steps: the third mechanism, to see that all else follows."""

    needs = Needs.TOUCHED

    def __init__(self, every: int, share: float) -> None:
        self.every, self.share, self.steps = every, share, 0

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        self.ledger, self.generator = ledger, generator
        self.age = ledger.keep(self.name, "age")

    def after_step(self, step: Step) -> None:
        self.steps += 1
        for numbers in self.age.values():
            numbers.add_(1)
        if self.steps % self.every:
            return
        for found in list(self.ledger.synapses.values()):
            if found.stored not in ("masked", "live"):
                continue
            units, inputs = found.places()
            n = round(self.share * found.n_live)
            free = torch.ones(found.shape[0], found.shape[1:].numel(), dtype=torch.bool)
            free[units, inputs] = False
            places = free.nonzero()
            places = places[torch.randperm(len(places), generator=self.generator)][:n]
            drop = torch.randperm(found.n_live, generator=self.generator)[: len(places)]
            self.ledger.rewire(found, drop, (places[:, 0], places[:, 1]))

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("kind", ["masked", "live", "conv"])
def test_drop_and_grow_at_random_beside_other_mechanisms(kind: str, optimizer: str) -> None:
    torch.manual_seed(0)
    net = NETS[kind]()
    ledger = Ledger(net, OPTIMIZERS[optimizer](net))
    rewiring = RandomRewiring(every=3, share=0.3)
    for mechanism in (Frozen(0.3), SynapticIntelligence(), rewiring):
        ledger.attach(mechanism)
    counts = {name: found.n_live for name, found in ledger.synapses.items()}
    course(ledger, tasks=2, steps=7)
    assert {name: found.n_live for name, found in ledger.synapses.items()} == counts
    for name, found in ledger.synapses.items():
        ages = found.of_live(rewiring.age[name])
        if found.stored == "dense":
            assert (ages == 14).all()
        else:  # rewired after steps 3, 6, 9 and 12
            assert {int(age) for age in ages.unique()} <= {2, 5, 8, 11, 14}
            assert int((ages == 2).sum()) >= round(0.3 * found.n_live) > 0


@pytest.mark.parametrize("kind", ["masked", "live"])
def test_a_step_follows_a_rewiring_by_a_mechanism_that_came_first(kind: str) -> None:
    """The path integral of a synapse that has just grown is 0, and the others' are as without the rewiring."""
    paths = []
    for rewires in (False, True):
        torch.manual_seed(0)
        net = NETS[kind]()
        ledger = Ledger(net, OPTIMIZERS["nesterov"](net))
        si = SynapticIntelligence()
        ledger.attach(RandomRewiring(every=1 if rewires else 99, share=0.3))
        ledger.attach(si)
        ledger.before_task(0)
        train_step(net, ledger.optimizer, 0, ledger)
        found = next(iter(ledger.synapses.values()))
        places = zip(*(ids.tolist() for ids in found.places()), strict=True)
        paths.append(dict(zip(places, found.of_live(si.path[found.name]).tolist(), strict=True)))
    before, after = paths
    assert after.keys() != before.keys()
    assert all(value == before.get(place, 0.0) for place, value in after.items())


def test_two_mechanisms_of_one_kind_need_two_names() -> None:
    net = NETS["dense"]()
    ledger = Ledger(net)
    ledger.attach(Frozen(0.1))
    ledger.attach(Frozen(0.1), name="more")
    with pytest.raises(ValueError, match="another name"):
        ledger.attach(Frozen(0.1), name="more")


def test_switching_a_mechanism_on_does_not_shift_anothers_random_numbers() -> None:
    drawn = []
    for others in ([], [Frozen(0.5, "random")]):
        torch.manual_seed(0)
        net = NETS["dense"]()
        ledger = Ledger(net, OPTIMIZERS["sgd"](net), seed=3)
        for mechanism in others:
            ledger.attach(mechanism, name="other")
        mine = Frozen(0.5, "random")
        ledger.attach(mine)
        ledger.before_task(0)
        ledger.after_task(0)
        drawn.append(mine.updates.scale["0.weight"].clone())
    assert torch.equal(*drawn)


def test_observing_leaves_no_trace_and_uses_the_winners_of_training() -> None:
    for kind in ("masked", "winner", "conv"):
        net = NETS[kind]()
        x, _ = batch(0)
        net(x)
        net.eval()
        net[0].train()
        before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        layers = [module for module in net.modules() if isinstance(module, KWinnersBase)]
        counted = [layer.learning_iterations for layer in layers]
        seen: list[Any] = []
        hooks = [layer.register_forward_hook(lambda _m, _i, out, seen=seen: seen.append(out)) for layer in layers]
        with observing(net) as observed:
            observed(x).sum().backward()
        for hook in hooks:
            hook.remove()
        out = seen[0] if isinstance(seen[0], Tensor) else seen[0].dense()
        assert int((out != 0).sum(1).max()) <= layers[0].k  # units, or channels at a place
        assert [layer.learning_iterations for layer in layers] == counted
        assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in before.items())
        assert net[0].training
        assert not net.training


@pytest.mark.parametrize("bad", [{"c": -1.0}, {"xi": 0.0}])
def test_bad_numbers_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        SynapticIntelligence(**bad)
    with pytest.raises(ValueError, match="share"):
        Frozen(1.5)


def test_mechanisms_may_leave_the_data_alone() -> None:
    def forbidden() -> Iterable[tuple[Tensor, ...]]:
        raise AssertionError("looked at")
        yield

    net = NETS["dense"]()
    ledger = Ledger(net, OPTIMIZERS["sgd"](net))
    ledger.attach(SynapticIntelligence())
    ledger.before_task(0)
    ledger.after_task(0, forbidden())


def test_weights_whose_synapses_are_not_known_are_not_frozen_unasked() -> None:
    net = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="in_proj_weight is of no layer"):
        Ledger(net, optimizer).attach(Frozen())
    net = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    ledger = Ledger(net, torch.optim.SGD(net.parameters(), lr=0.1))
    frozen = Frozen(leave=["self_attn.in_proj*"])
    ledger.attach(frozen)
    ledger.after_task(0)
    assert (frozen.updates.scale["self_attn.in_proj_weight"] == 1).all()
