"""Springs between synapses: curvature factors and the pull, against dense matrices of the whole layer."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cl_sparse.layers import rezero_weights
from cl_sparse.synapses import KroneckerLaplace, Ledger, observing, scale_updates
from cl_sparse.synapses.importance import Likelihood, fisher_factors
from cl_sparse.synapses.passes import watching
from tests.synapses.nets import NETS, OPTIMIZERS, batch

KINDS = ["conv", "dense", "masked"]
Batches = list[tuple[Tensor, Tensor]]


def made(kind: str, optimizer: str = "sgd") -> tuple[nn.Module, Ledger]:
    torch.manual_seed(0)
    net = nn.Sequential(*(module for module in NETS[kind]() if not isinstance(module, nn.BatchNorm1d))).double()
    return net, Ledger(net, OPTIMIZERS[optimizer](net))


def samples(seed: int, size: int = 11) -> Batches:
    x, y = batch(seed, size)
    return [(x[:7].double(), y[:7]), (x[7:].double(), y[7:])]


def step_on(net: nn.Module, ledger: Ledger, seed: int) -> None:
    x, y = batch(seed)
    ledger.optimizer.zero_grad()
    nn.functional.cross_entropy(net(x.double()), y).backward()
    ledger.optimizer.step()
    rezero_weights(net)


def whole(weights: dict[str, Tensor], name: str) -> Tensor:
    """Return a layer's weights with its biases as a last column."""
    return torch.cat([weights[f"{name}.weight"].flatten(1), weights[f"{name}.bias"][:, None]], 1)


def test_for_one_sample_the_factors_are_exact() -> None:
    net, _ = made("dense")
    x, y = batch(3, 1)
    found = fisher_factors(net, [(x.double(), y)], torch.Generator(), Likelihood("given"))
    for name, layer in (("0", net[0]), ("2", net[2])):
        gradients = torch.autograd.grad(net(x.double()).log_softmax(1)[0, y[0]], [layer.weight, layer.bias])
        gradient = torch.cat([gradients[0], gradients[1][:, None]], 1).flatten()
        inputs, units = found[name]
        torch.testing.assert_close(torch.kron(units, inputs), torch.outer(gradient, gradient))


@pytest.mark.parametrize("kind", KINDS)
def test_factors_are_means_over_single_samples(kind: str) -> None:
    net, _ = made(kind)
    layers = {n: m for n, m in net.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    sums: dict[str, Any] = {}
    for x, y in samples(0):
        for n in range(len(x)):
            with observing(net), watching(layers) as calls:
                log_p = net(x[n : n + 1]).log_softmax(1)[0, y[n]]
            deltas = torch.autograd.grad(log_p, [calls[name][0][1] for name in layers])
            for name, delta in zip(layers, deltas, strict=True):
                a = calls[name][0][0]
                layer = layers[name]
                if isinstance(layer, nn.Conv2d):
                    rows = nn.functional.unfold(a, layer.kernel_size, padding=layer.padding)[0].T
                    delta = delta[0].flatten(1).T
                else:
                    rows = a
                rows = torch.cat([rows, torch.ones(len(rows), 1, dtype=rows.dtype)], 1)
                inputs = sum(torch.outer(r, r) for r in rows) / len(rows)
                units = sum(torch.outer(d, d) for d in delta)
                old = sums.get(name, (0, 0))
                sums[name] = (old[0] + inputs / 11, old[1] + units / 11)
    found = fisher_factors(net, samples(0), torch.Generator(), Likelihood("given"))
    assert set(found) == set(layers)
    for name, (inputs, units) in found.items():
        torch.testing.assert_close(inputs, sums[name][0])
        torch.testing.assert_close(units, sums[name][1])
    limited = fisher_factors(net, samples(0), torch.Generator(), Likelihood("given", 7))
    for name, (inputs, _) in fisher_factors(net, samples(0)[:1], torch.Generator(), Likelihood("given")).items():
        torch.testing.assert_close(limited[name][0], inputs)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_pull_solves_the_dense_system(kind: str, every: int) -> None:
    """Beside a net that trains freely and whose layers are moved by a matrix of all pairs of their synapses."""
    net, ledger = made(kind)
    free, plain = made(kind)
    laplace = KroneckerLaplace(c=30.0, labels="given", every=every)
    ledger.attach(laplace)
    sums: dict[str, tuple[Tensor, Tensor]] = {}
    for task in range(2):
        ledger.before_task(task)
        ledger.after_task(task, samples(task))
        for name, new in fisher_factors(net, samples(task), torch.Generator(), Likelihood("given")).items():
            old = sums.get(name, (torch.zeros_like(new[0]), torch.zeros_like(new[1])))
            sums[name] = (old[0] + new[0], old[1] + new[1])
    anchor = {name: value.clone() for name, value in plain.current().items()}
    ledger.before_task(2)
    for step in range(3):
        step_on(net, ledger, step)
        step_on(free, plain, step)
        if (step + 1) % every == 0:
            for name, (inputs, units) in sums.items():
                now, then = whole(plain.current(), name), whole(anchor, name)
                matrix = torch.kron(units, inputs / 2) * (30.0 * 0.05 * every)
                held = torch.linalg.solve(
                    torch.eye(len(matrix), dtype=torch.double) + matrix, (now - then).flatten()
                ).view_as(now)
                parameters = plain.parameters()
                with torch.no_grad():
                    parameters[f"{name}.weight"].copy_((then + held)[:, :-1].view_as(parameters[f"{name}.weight"]))
                    parameters[f"{name}.bias"].copy_((then + held)[:, -1])
            rezero_weights(free)
    for name, value in plain.current().items():
        torch.testing.assert_close(ledger.current()[name], value)
        assert not torch.equal(value, anchor[name])


def test_steps_left_over_are_made_up_for_when_the_task_ends() -> None:
    nets = []
    for every in (2, 1000):
        net, ledger = made("masked")
        ledger.attach(KroneckerLaplace(c=30.0, labels="given", every=every))
        ledger.after_task(0, samples(0))
        for step in range(2):
            step_on(net, ledger, step)
        ledger.after_task(1, samples(1))
        for found in ledger.synapses.values():
            if found.stored == "masked":
                assert not found.current()[~found.live].any()
        nets.append(ledger.current())
    for name, value in nets[0].items():
        torch.testing.assert_close(nets[1][name], value)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "nesterov", "sgd"])
def test_springs_of_any_strength_leave_what_old_inputs_give_alone(optimizer: str) -> None:
    changes = []
    old = batch(0, 6)[0].double()
    old[:, 4:] = 0  # of 12 inputs, 4 are used
    for c in (0.0, 1e9):
        net, ledger = made("dense", optimizer)
        ledger.attach(KroneckerLaplace(c=c, every=1))
        ledger.after_task(0, [(old.repeat(50, 1), torch.zeros(300, dtype=torch.long))])
        before = net(old).detach()
        weights = {name: value.clone() for name, value in ledger.current().items()}
        for step in range(5):
            step_on(net, ledger, step)
        assert any(bool((value != weights[name]).any()) for name, value in ledger.current().items())
        changes.append(float((net(old) - before).detach().softmax(1).sub(0.2).abs().max()))
    assert changes[1] < 0.05 * changes[0]


def test_frozen_synapses_stay_whatever_pulls_at_them() -> None:
    net, ledger = made("dense")
    ledger.attach(KroneckerLaplace(c=30.0, every=1))
    ledger.after_task(0, samples(0))
    scale = torch.ones_like(net[0].weight)
    scale[:3] = 0
    scale_updates(ledger, {"0.weight": scale})
    before = net[0].weight.detach().clone()
    for step in range(3):
        step_on(net, ledger, step)
    assert torch.equal(net[0].weight[:3], before[:3])
    assert not torch.equal(net[0].weight[3:], before[3:])


def test_a_restored_one_goes_on_alike() -> None:
    _, ledger = made("conv")
    laplace = KroneckerLaplace(c=3.0)
    ledger.attach(laplace)
    ledger.after_task(0, samples(0))
    other = KroneckerLaplace(c=3.0)
    again = Ledger(made("conv")[0])
    again.attach(other)
    other.load_state_dict(laplace.state_dict())
    assert other.tasks == laplace.tasks
    assert other.nbytes == laplace.nbytes > 0
    for name, axes in laplace._axes.items():
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(axes, other._axes[name], strict=True))
    dense = Ledger(made("dense")[0])
    wrong = KroneckerLaplace()
    dense.attach(wrong)
    with pytest.raises(ValueError, match="factors are of"):
        wrong.load_state_dict(laplace.state_dict())


def test_what_cannot_be_held_is_refused() -> None:
    for arguments in ({"c": -1.0}, {"samples": 0}, {"every": 0}, {"c": float("nan")}):
        with pytest.raises(ValueError, match="must be at least"):
            KroneckerLaplace(**arguments)
    _, ledger = made("live")
    with pytest.raises(ValueError, match="mask them"):
        ledger.attach(KroneckerLaplace())
    normalised = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="of no linear layer"):
        Ledger(normalised).attach(KroneckerLaplace())


def test_layers_that_are_left_have_no_springs() -> None:
    """Beside plain training: a layer that is left takes the same steps, the others are pulled."""
    net, ledger = made("dense")
    free, plain = made("dense")
    laplace = KroneckerLaplace(c=30.0, labels="given", every=1, leave=["0"])
    ledger.attach(laplace)
    ledger.after_task(0, samples(0))
    step_on(net, ledger, 0)
    step_on(free, plain, 0)
    for name, value in plain.current().items():
        assert torch.equal(ledger.current()[name], value) == name.startswith("0."), name
    assert set(laplace.factors) == {"2"}
