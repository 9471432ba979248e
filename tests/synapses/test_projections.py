"""OWM and GPM: what they let through, against the papers' formulas, and old outputs left alone."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cl_sparse.layers import rezero_weights
from cl_sparse.synapses import GradientProjection, Ledger, OrthogonalWeights, Projection, SynapticIntelligence
from tests.synapses.nets import NETS, OPTIMIZERS, batch

METHODS: dict[str, Callable[[], Projection]] = {
    "orthogonal_weights": lambda: OrthogonalWeights(alpha=1e-9, samples=None),
    "gradient_projection": lambda: GradientProjection(energy=1.0 - 1e-12, samples=None),
}
STEPWISE: dict[str, Callable[[], Projection]] = {
    **METHODS,
    "step by step": lambda: OrthogonalWeights(alpha=0.1, alpha_end=0.01, when="step"),
}


def narrow(kind: str) -> nn.Module:
    """Return a net for inputs that leave room: of 12, a task uses 4."""
    torch.manual_seed(0)
    net = NETS[kind]()
    return nn.Sequential(*(m for m in net if not isinstance(m, nn.BatchNorm1d))).double()


def old_and_new() -> tuple[Tensor, Tensor]:
    old, new = batch(0, 6)[0].double(), batch(1, 64)[0].double()
    old[:, 4:] = 0
    return old[:3], new


def train(net: nn.Module, ledger: Ledger, x: Tensor, steps: int = 5) -> None:
    y = torch.arange(len(x)) % 5
    for _ in range(steps):
        ledger.optimizer.zero_grad()
        (nn.functional.cross_entropy(net(x), y) + ledger.penalty()).backward()
        ledger.optimizer.step()
        rezero_weights(net)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "momentum", "nesterov", "sgd"])
@pytest.mark.parametrize("kind", ["conv", "dense"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_what_old_inputs_give_is_left_alone(method: str, kind: str, optimizer: str) -> None:
    """The dense net exactly; of the one with convolutions those layers whose inputs did not fill their space."""
    net = narrow(kind)
    if kind == "conv":
        net = nn.Sequential(nn.Unflatten(1, (3, 2, 2)), nn.Conv2d(3, 6, 2), nn.Flatten(), nn.ReLU(), nn.Linear(6, 5))
        net = net.double()
    plain = copy.deepcopy(net)
    makers = {**OPTIMIZERS, "momentum": lambda n: torch.optim.SGD(n.parameters(), lr=0.05, momentum=0.9)}
    ledger = Ledger(net, makers[optimizer](net))
    ledger.attach(METHODS[method]())
    old, new = old_and_new()
    ledger.before_task(0)
    train(net, ledger, old)
    ledger.after_task(0, [(old, torch.zeros(3))])
    before = net(old).detach()
    weights = {name: value.clone() for name, value in ledger.current().items()}
    ledger.before_task(1)
    train(net, ledger, new)
    torch.testing.assert_close(net(old), before, rtol=1e-5, atol=1e-6)
    assert all(bool((value != weights[name]).any()) for name, value in ledger.current().items() if "weight" in name)
    del ledger
    other = Ledger(plain, makers[optimizer](plain))
    train(plain, other, new)
    assert float((plain(old) - before).detach().abs().max()) > 1e-2


def test_the_projector_is_the_papers() -> None:
    net = narrow("dense")
    ledger = Ledger(net, OPTIMIZERS["sgd"](net))
    owm = OrthogonalWeights(alpha=0.3, samples=None)
    ledger.attach(owm)
    columns = []
    for task in range(2):
        x = batch(task, 5)[0].double()
        ledger.after_task(task, [(x[:2], x), (x[2:], x)])
        columns.append(nn.functional.pad(x, (0, 1), value=1.0).T / 5**0.5)
    a = torch.cat(columns, 1)
    inner = torch.linalg.inv(a.T @ a + 0.3 * torch.eye(10, dtype=a.dtype))
    torch.testing.assert_close(
        owm.projectors["0"], torch.eye(13, dtype=a.dtype) - a @ inner @ a.T, rtol=1e-4, atol=1e-5
    )


def test_the_basis_is_the_papers() -> None:
    """Against singular vectors of what is new in the inputs themselves, for several energies."""
    for energy in (0.5, 0.9, 0.99):
        net = narrow("dense")
        ledger = Ledger(net, OPTIMIZERS["sgd"](net))
        gpm = GradientProjection(energy=energy, step=0.005, samples=None)
        ledger.attach(gpm)
        basis = torch.zeros(13, 0, dtype=torch.double)
        for task in range(3):
            x = batch(task, 9)[0].double() * torch.linspace(0.1, 2, 12)
            ledger.after_task(task, [(x, x)])
            r = nn.functional.pad(x, (0, 1), value=1.0).T
            new = r - basis @ basis.T @ r
            u, s, _ = torch.linalg.svd(new, full_matrices=False)
            old_energy, total = r.square().sum() - new.square().sum(), r.square().sum()
            k = 0
            while old_energy + s[:k].square().sum() < (energy + task * 0.005) * total:
                k += 1
            basis = torch.cat([basis, u[:, :k]], 1)
            ours = gpm.memory["0"]
            torch.testing.assert_close(ours @ ours.T, basis @ basis.T, rtol=1e-6, atol=1e-8)
            torch.testing.assert_close(ours.T @ ours, torch.eye(ours.shape[1], dtype=ours.dtype))


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_learning_at_every_step_is_the_authors_recursion(optimizer: str) -> None:
    """Against a loop with their update written out, with an α per layer, one of which falls within the task."""
    net = narrow("dense")
    by_hand = copy.deepcopy(net)
    makers = {**OPTIMIZERS, "momentum": lambda n: torch.optim.SGD(n.parameters(), lr=0.05, momentum=0.9)}
    ledger = Ledger(net, makers[optimizer](net))
    layers = [name for name, m in net.named_modules() if isinstance(m, nn.Linear)]
    alphas, ends = [0.9, 0.6], [0.009, 0.6]
    ledger.attach(OrthogonalWeights(alpha=alphas, alpha_end=ends, when="step"))
    theirs = makers[optimizer](by_hand)
    p = {name: torch.eye(by_hand.get_submodule(name).in_features + 1, dtype=torch.double) for name in layers}
    for task in range(2):
        ledger.before_task(task)
        for epoch in range(2):
            ledger.before_epoch(epoch, 2, 3)
            for step in range(3):
                x, y = batch(10 * task + 3 * epoch + step, 7)[0].double(), torch.arange(7) % 5
                ledger.optimizer.zero_grad()
                nn.functional.cross_entropy(net(x), y).backward()
                ledger.optimizer.step()
                theirs.zero_grad()
                seen = inputs_of(by_hand, layers, x)
                nn.functional.cross_entropy(by_hand(x), y).backward()
                before = {name: value.detach().clone() for name, value in by_hand.named_parameters()}
                for name, alpha, end in zip(layers, alphas, ends, strict=True):
                    a = alpha * (end / alpha) ** ((3 * epoch + step) / 6)
                    r = seen[name].mean(0, keepdim=True)
                    k = p[name] @ r.T
                    p[name] = p[name] - k @ k.T / (a + r @ k)
                if optimizer == "momentum":
                    project(by_hand, p, {n: v.grad for n, v in by_hand.named_parameters()})
                theirs.step()
                if optimizer == "adam":
                    change = {n: v.data - before[n] for n, v in by_hand.named_parameters()}
                    project(by_hand, p, change)
                    for n, v in by_hand.named_parameters():
                        v.data = before[n] + change[n]
        ledger.after_task(task, [(x, y)])
    for ours, expected in zip(net.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(ours, expected)


def test_who_learns_step_by_step_need_not_be_told_where_a_task_ends() -> None:
    assert OrthogonalWeights(when="step").task_info == ("none", "none")
    assert OrthogonalWeights(when="step", alpha_end=0.1).task_info == ("boundaries", "none")
    assert OrthogonalWeights().task_info == ("boundaries", "none")


def inputs_of(net: nn.Module, layers: list[str], x: Tensor) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    hooks = [
        net.get_submodule(name).register_forward_pre_hook(
            lambda _, args, name=name: seen.__setitem__(name, nn.functional.pad(args[0].detach(), (0, 1), value=1.0))
        )
        for name in layers
    ]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return seen


def project(net: nn.Module, p: dict[str, Tensor], changes: dict[str, Any]) -> None:
    for name, projector in p.items():
        whole = torch.cat([changes[f"{name}.weight"], changes[f"{name}.bias"][:, None]], 1) @ projector
        changes[f"{name}.weight"].copy_(whole[:, :-1])
        changes[f"{name}.bias"].copy_(whole[:, -1])


def test_the_basis_may_hold_another_share_of_each_layer() -> None:
    net = narrow("dense")
    ledger = Ledger(net, OPTIMIZERS["sgd"](net))
    gpm = GradientProjection(energy=[0.3, 0.99], samples=None)
    ledger.attach(gpm)
    x = batch(0, 9)[0].double()
    ledger.after_task(0, [(x, x)])
    first, second = gpm.memory.values()
    assert first.shape[1] < 4 < second.shape[1]


def test_other_mechanisms_see_the_gradient_as_it_was() -> None:
    """The path integral with a projection beside it, against a loop that projects by hand."""
    net = narrow("dense")
    ledger = Ledger(net, OPTIMIZERS["nesterov"](net))
    ledger.optimizer.param_groups[0]["weight_decay"] = 0
    si = SynapticIntelligence(c=1.0, mode="proximal")
    ledger.attach(OrthogonalWeights(alpha=0.5))
    ledger.attach(si)
    ledger.before_task(0)
    ledger.after_task(0, [(batch(0)[0].double(), batch(0)[1])])
    ledger.before_task(1)
    x, y = batch(3)
    loss = nn.functional.cross_entropy(net(x.double()), y)
    gradient = torch.autograd.grad(loss, net[0].weight, retain_graph=True)[0]
    before = net[0].weight.detach().clone()
    loss.backward()
    ledger.optimizer.step()
    torch.testing.assert_close(si.path["0.weight"], -gradient * (net[0].weight.detach() - before))


@pytest.mark.parametrize("method", sorted(STEPWISE))
def test_layers_that_are_left_change_freely_and_a_resumed_one_goes_on(method: str) -> None:
    def made() -> tuple[nn.Module, Ledger, Any]:
        net = narrow("dense")
        ledger = Ledger(net, OPTIMIZERS["sgd"](net))
        mechanism: Any = STEPWISE[method]()
        mechanism.leave = ("2",)
        ledger.attach(mechanism)
        return net, ledger, mechanism

    old, new = old_and_new()
    net, ledger, mechanism = made()
    ledger.after_task(0, [(old, old)])
    assert set(mechanism.memory) == {"0"}
    assert mechanism.nbytes > 0
    again, resumed, theirs = made()
    again.load_state_dict(net.state_dict())
    resumed.load_state_dict(copy.deepcopy(ledger.state_dict()))
    assert set(theirs.memory) == {"0"}
    for n, own in ((net, ledger), (again, resumed)):
        own.before_task(1)
        train(n, own, new)
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), again.parameters(), strict=True))
    with pytest.raises(ValueError, match=r"^7 has no inputs of which"):
        theirs.load_state_dict({"memory": {"7": torch.zeros(2, 2)}})


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: OrthogonalWeights(alpha=0), "alpha must be above 0"),
        (lambda: OrthogonalWeights(alpha=[0.1, 0]), "alpha must be above 0"),
        (lambda: OrthogonalWeights(alpha=[]), "alpha must be above 0"),
        (lambda: OrthogonalWeights(alpha_end=0.1), "alpha_end is for when: step"),
        (lambda: OrthogonalWeights(when="never"), "when must be task or step, not 'never'"),
        (lambda: GradientProjection(energy=[0.5, 2]), "energy and step must be from 0 to 1"),
        (lambda: GradientProjection(energy=2), "energy and step must be from 0 to 1"),
        (lambda: GradientProjection(samples=0), "samples must be at least 1"),
    ],
)
def test_numbers_out_of_range(made: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: OrthogonalWeights(alpha=[0.1]), "alpha has 1 numbers for 2 layers"),
        (lambda: OrthogonalWeights(when="step", alpha_end=[0.1] * 3), "alpha_end has 3 numbers for 2 layers"),
        (lambda: GradientProjection(energy=[0.9] * 3), "energy has 3 numbers for 2 layers"),
    ],
)
def test_lists_have_a_number_for_each_layer(made: Callable[[], Projection], said: str) -> None:
    net = narrow("dense")
    with pytest.raises(ValueError, match=said):
        Ledger(net, OPTIMIZERS["sgd"](net)).attach(made())


def test_nets_that_store_live_synapses_are_refused() -> None:
    net = NETS["live"]()
    with pytest.raises(ValueError, match="0 stores its live synapses only"):
        Ledger(net, OPTIMIZERS["sgd"](net)).attach(OrthogonalWeights())
