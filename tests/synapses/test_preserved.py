"""Which synapses are preserved, by each rule, against slow references; and how slowly the slow ones change."""

import pytest
import torch
from torch import Tensor, nn

from cl_sparse.layers import KWinners, SparseLinear, SparseWeights
from cl_sparse.models import MultiHead, SimpleMLP
from cl_sparse.synapses import Frozen, Ledger


def nets(kind):
    first = {
        "dense": lambda: nn.Linear(6, 8),
        "masked": lambda: SparseWeights(nn.Linear(6, 8), weight_sparsity=0.5),
        "live": lambda: SparseLinear(6, 8, density=0.5),
    }[kind]
    return nn.Sequential(first(), KWinners(8, 0.5, k_inference_factor=1.0, boost_strength=0.0), nn.Linear(8, 3))


def gradients(net: nn.Module, objective) -> list[Tensor]:
    return [
        torch.zeros_like(p) if g is None else g
        for p, g in zip(net.parameters(), torch.autograd.grad(objective, list(net.parameters())), strict=True)
    ]


def slow_importance(rule, net, x, y):
    """One sample after another, one synapse after another where it must be."""
    names = [name for name, _ in net.named_parameters()]
    sums = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    for row in x:
        logits = net(row[None])[0]
        if rule == "fisher":  # its expectation over what the net predicts
            log_p = logits.log_softmax(0)
            for label in range(3):
                for name, g in zip(names, gradients(net, net(row[None])[0].log_softmax(0)[label]), strict=True):
                    sums[name] += log_p[label].detach().exp() * g.square()
        else:
            for name, g in zip(names, gradients(net, logits.square().sum()), strict=True):
                sums[name] += g.abs()
    return {name: total / len(x) for name, total in sums.items()}


@pytest.mark.parametrize("kind", ["dense", "masked", "live"])
@pytest.mark.parametrize("rule", ["fisher", "sensitivity", "use", "path"])
def test_the_most_important_are_preserved(rule, kind):
    torch.manual_seed(1)
    net = nets(kind)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    ledger = Ledger(net, optimizer)
    frozen = Frozen(0.25, rule)
    ledger.attach(frozen)
    x, y = torch.randn(300, 6).relu(), torch.randint(3, (300,))
    path = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    ledger.before_task(0)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        before = {name: p.detach().clone() for name, p in net.named_parameters()}
        optimizer.step()
        for name, p in net.named_parameters():
            path[name] -= p.grad * (p.detach() - before[name])
        for module in net.modules():
            if isinstance(module, SparseWeights):
                module.rezero_weights()
    ledger.after_task(0, list(zip(x.split(70), y.split(70), strict=True)))

    net.eval()
    if rule == "use":
        h = net[1](net[0](x))
        active = {0: (x != 0).float(), 2: (h != 0).float()}
        units = {0: active[2], 2: torch.ones(300, 3)}
    slow = {"path": lambda: path, "use": dict}.get(rule, lambda: slow_importance(rule, net, x, y))()
    for name, found in ledger.synapses.items():
        rows, columns = found.places()
        if rule == "use":
            number = int(name[0])
            expected = torch.stack(
                [(units[number][:, u] * active[number][:, i]).mean() for u, i in zip(rows, columns, strict=True)]
            )
        else:
            expected = found.of_live(slow[name])
        chosen = found.of_live(frozen.updates.scale[name]) == 0
        n = round(0.25 * len(expected))
        assert int(chosen.sum()) == n
        if rule == "fisher":  # drawn labels: the ranks agree but for noise
            assert expected[chosen].mean() > 2 * expected[~chosen].mean()
        else:
            assert expected[chosen].min() >= expected[~chosen].max() - 1e-6


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_slow_synapses_change_by_a_factor(optimizer):
    make = {"sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), "adam": lambda p: torch.optim.Adam(p, lr=0.01)}
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    ledger = Ledger(net, make[optimizer](net.parameters()))
    frozen = Frozen(0.5, slow=0.1)
    ledger.attach(frozen)
    ledger.after_task(0)
    scale = {name: factor.clone() for name, factor in frozen.updates.scale.items()}
    assert sorted(scale["0.weight"].unique().tolist()) == [pytest.approx(0.1), 1.0]
    x, y = torch.randn(30, 6), torch.randint(3, (30,))
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    twin = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    twin.load_state_dict(net.state_dict())
    free = make[optimizer](twin.parameters())
    for model, own in ((net, ledger.optimizer), (twin, free)):
        own.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        own.step()
    for (name, p), q in zip(net.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p - before[name], scale[name] * (q - before[name]), rtol=1e-4, atol=1e-7)
    ledger.after_task(1)
    slow = sum(frozen.frozen().values())
    assert slow == (24 + 12) + (12 + 6)  # half of what was free, each time


def test_heads_of_other_tasks_are_left_out_of_use():
    torch.manual_seed(0)
    net = SimpleMLP((6,), lambda n: MultiHead(n, 2, 3), hidden_units=8, sparsify=True, weight_sparsity_fc=0.5)
    ledger = Ledger(net, torch.optim.SGD(net.parameters(), lr=0.1))
    ledger.attach(Frozen(0.5, "use", leave=["classifier*"]))
    x = torch.randn(40, 6).relu()
    for task in range(2):
        ledger.before_task(task)
        ledger.after_task(task, [(x, torch.zeros(40), torch.full((40,), task))])
    assert ledger.mechanisms["Frozen"].frozen()["features.fc1.module.weight"] == 12 + 6


def test_what_a_rule_cannot_tell_is_refused():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    ledger = Ledger(net, torch.optim.SGD(net.parameters(), lr=0.1))
    ledger.attach(Frozen(0.5, "use"))
    with pytest.raises(ValueError, match=r"0: which of its units are active is known of linear layers only"):
        ledger.after_task(0, [(torch.randn(4, 1, 6, 6), torch.zeros(4))])
    norm = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="of no linear layer or convolution"):
        Ledger(norm, None).attach(Frozen(0.5, "fisher"))
    with pytest.raises(ValueError, match="slow from 0 to below 1"):
        Frozen(0.5, slow=1.0)
