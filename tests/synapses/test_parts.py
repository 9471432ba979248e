"""A part of the net for each task: XdG, HAT, PackNet, SupSup, WSN. What is held, what is shut, what is chosen."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from cl_sparse.layers import rezero_weights
from cl_sparse.models import MultiHead, SimpleCNN, SimpleMLP, SingleHead
from cl_sparse.synapses import (
    ContextGates,
    GrownParts,
    HardAttention,
    Ledger,
    Mechanism,
    Packed,
    Supermasks,
    WinningSubnetworks,
)
from tests.synapses.nets import OPTIMIZERS

TASKS = 3
MULTI = {"leave": ["classifier*"]}
METHODS: dict[str, Callable[..., Mechanism]] = {
    "gates": lambda **_: ContextGates(shut=0.5),
    "attention": lambda **_: HardAttention(),
    "packed": lambda **a: Packed(**a),
    "supermasks": lambda **a: Supermasks(share=0.4, **a),
    "winning": lambda **a: WinningSubnetworks(share=0.3, **a),
}
ISOLATING = ["packed", "supermasks", "winning"]


def net_of(kind: str, heads: str = "multi", sparsify: bool = False) -> nn.Module:
    def head(n: int) -> Any:
        return MultiHead(n, TASKS, 4) if heads == "multi" else SingleHead(n, 4)

    settings: dict[str, Any] = {"hidden_units": 24, "hidden_layers": 2, "compute": "reference"}
    if sparsify:
        settings |= {"sparsify": True, "percent_on_fc": 0.2, "weight_sparsity_fc": 0.5, "boost_strength": 0.0}
    if kind == "cnn":
        del settings["compute"]
        return SimpleCNN((1, 12, 12), head, **settings)
    return SimpleMLP((10,), head, **settings)


def made(method: str, kind: str = "mlp", heads: str = "multi", optimizer: str = "sgd", sparsify: bool = False) -> Any:
    torch.manual_seed(0)
    mechanism = METHODS[method](**(MULTI if heads == "multi" else {}))
    net = mechanism.wrap(net_of(kind, heads, sparsify), TASKS)
    makers = {**OPTIMIZERS, "nesterov": lambda n: torch.optim.SGD(n.parameters(), 0.05, 0.9, nesterov=True)}
    ledger = Ledger(net, makers[optimizer](net))
    ledger.attach(mechanism)
    return net, ledger, mechanism


def data(task: int, kind: str = "mlp") -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(task)
    x = torch.randn(16, *((1, 12, 12) if kind == "cnn" else (10,)), generator=generator)
    return x, torch.randint(4, (16,), generator=generator), torch.full((16,), task)


def learn(net: nn.Module, ledger: Ledger, task: int, kind: str = "mlp", epochs: int = 4) -> None:
    x, y, labels = data(task, kind)
    ledger.before_task(task)
    net.train()
    for epoch in range(epochs):
        ledger.before_epoch(epoch, epochs, 3)
        for _ in range(3):
            ledger.optimizer.zero_grad()
            (nn.functional.cross_entropy(net(x, labels), y) + ledger.penalty()).backward()
            ledger.optimizer.step()
            rezero_weights(net)
    ledger.after_task(task, [data(task, kind)])


def outputs(net: nn.Module, task: int, kind: str = "mlp") -> Tensor:
    net.eval()
    x, _, labels = data(task, kind)
    with torch.no_grad():
        return net(x, labels)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "nesterov", "sgd"])
@pytest.mark.parametrize("kind", ["cnn", "mlp"])
@pytest.mark.parametrize("method", ISOLATING)
def test_what_a_task_has_gives_the_same_for_ever_bit_for_bit(method: str, kind: str, optimizer: str) -> None:
    net, ledger, _ = made(method, kind, optimizer=optimizer)
    before = {}
    for task in range(TASKS):
        start = outputs(net, task, kind) if task == 0 else None
        learn(net, ledger, task, kind)
        before[task] = outputs(net, task, kind)
        assert start is None or not torch.equal(start, before[0])
        for earlier, logits in before.items():
            assert torch.equal(outputs(net, earlier, kind), logits)


@pytest.mark.parametrize("sparsify", [False, True])
@pytest.mark.parametrize("heads", ["multi", "single"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_it_learns_each_task_and_old_ones_change_less_than_without(method: str, heads: str, sparsify: bool) -> None:
    net, ledger, _ = made(method, heads=heads, sparsify=sparsify)
    plain = copy.deepcopy(net.net)
    learn(net, ledger, 0, epochs=8)
    x, y, labels = data(0)
    fresh = nn.functional.cross_entropy(made(method, heads=heads, sparsify=sparsify)[0](x, labels), y)
    net.eval()
    assert float(nn.functional.cross_entropy(outputs(net, 0), y)) < float(fresh.detach())
    before = outputs(net, 0)
    learn(net, ledger, 1, epochs=8)
    drift = float((outputs(net, 0) - before).norm() / before.norm())
    optimizer = OPTIMIZERS["sgd"](plain)
    known: list[Tensor] = []
    for task in range(2):
        xs, ys, ts = data(task)
        for _ in range(24):
            optimizer.zero_grad()
            nn.functional.cross_entropy(plain(xs, ts), ys).backward()
            optimizer.step()
            rezero_weights(plain)
        plain.eval()
        known.append(plain(x, labels).detach())
    assert drift < float((known[1] - known[0]).norm() / known[0].norm())


def test_samples_of_several_tasks_may_share_a_batch() -> None:
    for method in METHODS:
        net, ledger, _ = made(method)
        for task in range(TASKS):
            learn(net, ledger, task, epochs=1)
        alone = torch.cat([outputs(net, task) for task in range(TASKS)])
        x, labels = (torch.cat([data(task)[part] for task in range(TASKS)]) for part in (0, 2))
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            mixed = net(x[order], labels[order])
        torch.testing.assert_close(mixed, alone[order])


@pytest.mark.parametrize("sparsify", [False, True])
def test_shut_units_are_off_and_their_synapses_stay(sparsify: bool) -> None:
    net, ledger, _ = made("gates", sparsify=sparsify)
    on: dict[str, Tensor] = {}
    behind = [m for m in net.net.features if not isinstance(m, nn.Flatten)]
    assert behind
    names = list(net.hidden)
    opened = {name: net.get_buffer(f"open_{number}")[1] for number, name in enumerate(names)}
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for name, module in net.net.features.named_children():
        module.register_forward_hook(lambda _m, _i, out, name=name: on.update({name: out.detach()}))
    ledger.optimizer.param_groups[0]["weight_decay"] = 0
    learn(net, ledger, 1)
    activity = [out for name, out in on.items() if out.shape[-1] == 24 and bool((out == 0).any())]
    for gate, out in zip(opened.values(), activity[:: len(activity) // 2], strict=False):
        assert not out[:, ~gate].any()
        assert out[:, gate].any()
    for name, gate in opened.items():
        assert int(gate.sum()) == 12
        weight = net.net.get_submodule(name).weight
        assert torch.equal(weight[~gate], before[f"net.{name}.weight"][~gate])
        assert bool((weight[gate] != before[f"net.{name}.weight"][gate]).any())


def test_more_winners_than_open_units_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2 of 24 units are open in a task, and more may win"):
        ContextGates(shut=0.9).wrap(net_of("mlp", sparsify=True), TASKS)


@given(share=st.floats(0.01, 1.0), seed=st.integers(0, 1000), ties=st.booleans(), half=st.booleans())
def test_exactly_the_share_is_chosen(share: float, seed: int, ties: bool, half: bool) -> None:
    torch.manual_seed(seed)
    net = WinningSubnetworks(share, **MULTI).wrap(net_of("mlp"), TASKS)
    if half:
        net = net.bfloat16()
    for name in net.scored:
        if ties:
            net.score(name).data.mul_(5).round_()
        best, score = net.best(name), net.score(name).detach()
        assert int(best.sum()) == max(1, round(share * score.numel()))
        assert best.all() or float(score[best].min()) >= float(score[~best].max())


@pytest.mark.parametrize("sparsify", [False, True])
def test_tasks_own_equally_many_weights_and_never_the_same(sparsify: bool) -> None:
    net, ledger, _ = made("packed", sparsify=sparsify)
    counts = []
    for task in range(TASKS):
        learn(net, ledger, task)
        counts.append({name: int((net.owner(name) == task).sum()) for name in net.owned})
        for name in net.owned:
            weight = dict(net.net.named_parameters())[name]
            assert not weight[net.owner(name) > task].any()
    live = {found.name.removeprefix("net."): found.n_live for found in ledger.synapses.values()}
    for name in net.owned:
        assert sum(count[name] for count in counts) == live[name]
        assert max(count[name] for count in counts) - min(count[name] for count in counts) <= 2


def test_packnet_keeps_the_largest_of_the_free() -> None:
    net, ledger, packed = made("packed", heads="single")
    packed.share, packed.retrain = 0.25, 0.0
    learn(net, ledger, 0, epochs=1)
    weights = {name: value.detach().clone() for name, value in net.net.named_parameters()}
    ledger.before_task(1)
    with torch.no_grad():
        for name in net.owned:
            dict(net.net.named_parameters())[name].add_(torch.randn_like(weights[name]) * (net.owner(name) > 0))
    now = {name: value.detach().clone() for name, value in net.net.named_parameters()}
    ledger.after_task(1, [])
    for name in net.owned:
        mine, theirs = net.owner(name) == 1, net.owner(name) == 0
        rest = ~mine & ~theirs
        assert int(mine.sum()) == round(0.25 * int((mine | rest).sum()))
        assert float(now[name][mine].abs().min()) >= float(now[name][rest].abs().max())
        assert torch.equal(now[name][theirs], weights[name][theirs])


@pytest.mark.parametrize(("epochs", "retrain", "free"), [(1, 0.0, 3), (1, 0.4, 2), (2, 0.5, 3), (4, 0.1, 11)])
def test_packnet_trains_on_what_was_kept_for_a_share_of_the_steps(epochs: int, retrain: float, free: int) -> None:
    net, ledger, packed = made("packed")
    packed.retrain = retrain
    open_before = []
    ledger.optimizer.register_step_pre_hook(lambda *_: open_before.append(net.open_task == 0))
    learn(net, ledger, 0, epochs=epochs)
    assert open_before == [True] * free + [False] * (3 * epochs - free)


def test_the_gradient_reaches_scores_as_if_they_were_the_mask() -> None:
    net, ledger, _ = made("winning")
    ledger.before_task(0)
    x, y, labels = data(0)
    nn.functional.cross_entropy(net(x, labels), y).backward()
    weights = {name: p.detach() for name, p in net.net.named_parameters()}
    masks = {name: net.best(name).float().requires_grad_() for name in net.scored}
    own = {name: weights[name] * mask for name, mask in masks.items()}
    loss = nn.functional.cross_entropy(torch.func.functional_call(net.net, own, (x, labels)), y)
    for (name, mask), expected in zip(masks.items(), torch.autograd.grad(loss, list(masks.values())), strict=True):
        torch.testing.assert_close(net.score(name).grad, expected)
        assert int(mask.sum()) == int(net.best(name).sum())


def test_supermasks_leave_weights_as_they_were_drawn() -> None:
    net, ledger, _ = made("supermasks")
    before = {name: p.detach().clone() for name, p in net.net.named_parameters()}
    for task in range(TASKS):
        learn(net, ledger, task)
    for name, p in net.net.named_parameters():
        assert torch.equal(p, before[name]) is not name.startswith("classifier"), name
        if name in net.scored:
            assert torch.equal(p.abs(), torch.full_like(p, (2 / p[0].numel()) ** 0.5))
            assert not torch.equal(net.chosen(name)[0], net.chosen(name)[1])


@pytest.mark.parametrize("kind", ["cnn", "mlp"])
def test_attention_multiplies_units_and_holds_what_is_needed(kind: str) -> None:
    """Against a net in which the outputs of the hidden layers are multiplied, and the papers' factor on updates."""
    net, ledger, hat = made("attention", kind)
    learn(net, ledger, 0, kind)
    x, _, labels = data(0, kind)
    logits = outputs(net, 0, kind)
    hooks = []
    for name, layer in net.hidden.items():
        a = net.attention(name, 0).detach().view(1, -1, *[1] * (layer.weight.dim() - 2))
        hooks.append(layer.register_forward_hook(lambda _m, _i, out, a=a: out * a))
    net.net.eval()
    torch.testing.assert_close(net.net(x, labels), logits)
    for hook in hooks:
        hook.remove()
    layers = list(net.hidden.items())
    needed = [net.attention(name, 0).detach() for name, _ in layers]
    for (name, layer), own, below in zip(layers[1:], needed[1:], needed, strict=False):
        scale = hat.updates.scale[f"net.{name}.weight"]
        inputs = layer.weight.shape[1]
        places = inputs // len(below)
        for unit in range(0, len(own), 5):
            for i in range(0, inputs, max(1, inputs // 7)):
                expected = 1 - min(float(own[unit]), float(below[i // places]))
                assert scale[unit, i].flatten()[0].item() == pytest.approx(expected, abs=1e-6)
    first = layers[0][0]
    torch.testing.assert_close(hat.updates.scale[f"net.{first}.bias"], 1 - needed[0])


def test_attention_costs_what_the_paper_says_and_hardens_within_an_epoch() -> None:
    net, ledger, hat = made("attention")
    learn(net, ledger, 0)
    ledger.before_task(1)
    ledger.before_epoch(0, 1, 5)
    assert net.steepness_now == pytest.approx(1 / 400)
    before = [hat._before[name] for name in net.key]
    now = [net.attention(name, 1).detach() for name in net.key]
    paid = sum(float((a * (1 - b)).sum()) for a, b in zip(now, before, strict=True))
    free = sum(float((1 - b).sum()) for b in before)
    assert float(ledger.penalty().detach()) == pytest.approx(0.75 * paid / free)
    for _ in range(4):
        hat.after_step(None)
    assert net.steepness_now == pytest.approx(400)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_net_that_nobody_wrapped_is_refused(method: str) -> None:
    net = net_of("mlp")
    if method != "gates":
        with pytest.raises(ValueError, match=r"give the optimizer and the ledger the net that wrap"):
            Ledger(net, OPTIMIZERS["sgd"](net)).attach(METHODS[method]())
    with pytest.raises(ValueError, match=r"has to say in consumers"):
        METHODS[method]().wrap(nn.Linear(3, 2), 2)


@pytest.mark.parametrize("made", [ContextGates, HardAttention, GrownParts])
def test_parts_of_hidden_units_need_some(made: Callable[[], Any]) -> None:
    linear = SimpleMLP((3,), lambda n: SingleHead(n, 2), hidden_layers=0)
    with pytest.raises(ValueError, match="a task's part is some of the hidden units, and the net has no hidden layer"):
        made().wrap(linear, 2)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: ContextGates(shut=1.0), "shut must be from 0 to below 1"),
        (lambda: HardAttention(steepness=1), "steepness must be above 1"),
        (lambda: Packed(share=0), "share must be above 0"),
        (lambda: Supermasks(share=2), "share must be above 0"),
        (lambda: WinningSubnetworks(share=-1), "share must be above 0"),
    ],
)
def test_numbers_out_of_range(made: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made()


@pytest.mark.parametrize("optimizer", ["adamw", "nesterov"])
def test_attention_of_earlier_tasks_stays_bit_for_bit(optimizer: str) -> None:
    """The optimizer's momentum and decay go on for the rows of all tasks."""
    net, ledger, _ = made("attention", optimizer=optimizer)
    for group in ledger.optimizer.param_groups:
        group["weight_decay"] = 0.1
    learn(net, ledger, 0)
    before = {name: net.embedding(name).detach().clone() for name in net.key}
    learn(net, ledger, 1)
    for name, rows in before.items():
        now = net.embedding(name).detach()
        assert torch.equal(now[0], rows[0])
        assert torch.equal(now[2], rows[2])
        assert bool((now[1] != rows[1]).any())
