"""EWC, MAS and SI: importances sample by sample, springs, and how they are held, against slow references."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cl_sparse.synapses import AwareSynapses, ElasticWeights, Ledger, Quadratic, SynapticIntelligence, observing
from cl_sparse.synapses.importance import sensitivity
from cl_sparse.synapses.quadratic import Springs
from tests.synapses.nets import NETS, OPTIMIZERS, batch, train_step

KINDS = ["conv", "dense", "live", "masked"]


def made(kind: str, optimizer: str = "sgd", double: bool = True) -> tuple[nn.Module, Ledger]:
    torch.manual_seed(0)
    net = NETS[kind]()
    net = nn.Sequential(*(module for module in net if not isinstance(module, nn.BatchNorm1d)))
    net = net.double() if double else net
    return net, Ledger(net, OPTIMIZERS[optimizer](net))


def samples(seed: int, size: int = 11) -> list[tuple[Tensor, Tensor]]:
    x, y = batch(seed, size)
    return [(x[:7].double(), y[:7]), (x[7:].double(), y[7:])]


def one_by_one(net: nn.Module, batches: Any, objective: Callable[[Tensor, Tensor], Tensor], power: Any) -> Any:
    """Differentiate the objective of every sample by itself."""
    sums = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    count = 0
    with observing(net):
        for x, y in batches:
            for n in range(len(x)):
                gradients = torch.autograd.grad(objective(net(x[n : n + 1]), y[n]), list(net.parameters()))
                for name, gradient in zip(sums, gradients, strict=True):
                    sums[name] += power(gradient.to_dense())
                count += 1
    return {name: found / count for name, found in sums.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_fisher_information_is_that_of_single_samples(kind: str) -> None:
    net, ledger = made(kind)
    ewc = ElasticWeights(labels="given")
    ledger.attach(ewc)
    expected = one_by_one(net, samples(0), lambda logits, y: logits.log_softmax(1)[0, y], torch.square)
    state = copy.deepcopy(net.state_dict())
    for name, found in ewc.fisher(samples(0)).items():
        torch.testing.assert_close(found, expected[name], rtol=1e-9, atol=1e-15)
        assert found.any(), name
    assert all(torch.equal(now, state[name]) for name, now in net.state_dict().items())
    limited = ElasticWeights(labels="given", samples=9)
    limited.ledger, limited.generator = ledger, ewc.generator
    first = [samples(0)[0], tuple(part[:2] for part in samples(0)[1])]
    for name, found in limited.fisher(samples(0)).items():
        torch.testing.assert_close(found, ewc.fisher(first)[name])


def test_with_drawn_labels_it_is_the_expectation_over_what_the_net_predicts() -> None:
    net, ledger = made("dense")
    ewc = ElasticWeights()
    ledger.attach(ewc)
    x = samples(0)[0][0][:2]
    p = net(x).softmax(1).detach()
    expected = {name: torch.zeros_like(q) for name, q in net.named_parameters()}
    for n in range(2):
        for label in range(5):
            log_p = net(x[n : n + 1]).log_softmax(1)[0, label]
            for name, gradient in zip(expected, torch.autograd.grad(log_p, list(net.parameters())), strict=True):
                expected[name] += p[n, label] * gradient.square() / 2
    many = [(x.repeat(4000, 1), torch.zeros(8000, dtype=torch.long))]
    for name, found in ewc.fisher(many).items():
        assert float((found - expected[name]).norm() / expected[name].norm()) < 0.05, name


@pytest.mark.parametrize("kind", KINDS)
def test_sensitivity_is_that_of_single_samples(kind: str) -> None:
    net, _ = made(kind)
    expected = one_by_one(net, samples(0), lambda logits, _: logits.square().sum(), torch.abs)
    for name, found in sensitivity(net, samples(0)).items():
        torch.testing.assert_close(found, expected[name], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_sensitivity_of_means_over_samples(kind: str) -> None:
    net, ledger = made(kind)
    expected = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    chunks = [x for own in samples(0) for x in own[0].split(3)]
    with observing(net):
        for x in chunks:
            gradients = torch.autograd.grad(net(x).square().sum(1).mean(), list(net.parameters()))
            for name, gradient in zip(expected, gradients, strict=True):
                expected[name] += gradient.to_dense().abs() * len(x) / sum(map(len, chunks))
    aware = AwareSynapses(together=3)
    ledger.attach(aware)
    ledger.after_task(0, samples(0))
    for name, found in aware.importance.items():
        torch.testing.assert_close(found, expected[name], rtol=1e-9, atol=1e-15)
    sums = [sum(float(found.sum()) for found in sensitivity(net, samples(0), n).values()) for n in (1, 3)]
    assert sums[1] < sums[0]  # samples cancel out


def test_springs_are_their_formula_and_its_derivative() -> None:
    torch.manual_seed(0)
    weight, importance, anchor = torch.randn(3, 5, 4, dtype=torch.double)
    weight = weight.mT.requires_grad_()  # not contiguous
    importance, anchor = importance.mT.abs(), anchor.mT
    assert torch.autograd.gradcheck(lambda w: Springs.apply(w, importance, anchor), weight)
    torch.testing.assert_close(Springs.apply(weight, importance, anchor), (importance * (weight - anchor) ** 2).sum())


def moved(net: nn.Module) -> dict[str, Tensor]:
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return {name: parameter.detach().clone() for name, parameter in net.named_parameters()}


def test_one_spring_stands_for_those_of_all_tasks() -> None:
    """The merged penalty and the sum over tasks differ by a constant: their gradients are the same."""
    net, ledger = made("dense")
    ewc = ElasticWeights(c=3.0, labels="given", mode="penalty")
    ledger.attach(ewc)
    springs = []
    for task in range(3):
        weights = moved(net)
        springs.append((ewc.fisher(samples(task)), weights))
        ledger.after_task(task, samples(task))
    moved(net)
    each = sum(
        (3.0 / 2) * (fisher[name] * (p - weights[name]).square()).sum()
        for fisher, weights in springs
        for name, p in net.named_parameters()
    )
    parameters = list(net.parameters())
    merged = torch.autograd.grad(ledger.penalty(), parameters)
    for ours, theirs in zip(merged, torch.autograd.grad(each, parameters), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_online_form() -> None:
    net, ledger = made("dense")
    ewc = ElasticWeights(c=1.0, decay=0.5, labels="given")
    ledger.attach(ewc)
    expected = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    for task in range(3):
        weights = moved(net)
        fisher = ewc.fisher(samples(task))
        expected = {name: 0.5 * old + fisher[name] for name, old in expected.items()}
        ledger.after_task(task, samples(task))
    for name, found in ewc.importance.items():
        torch.testing.assert_close(found, expected[name])
        assert torch.equal(ewc.anchor[name], weights[name])


METHODS: dict[str, Callable[..., Quadratic]] = {
    "elastic_weights": lambda **a: ElasticWeights(c=2e3, **a),
    "aware_synapses": lambda **a: AwareSynapses(c=20.0, **a),
    "synaptic_intelligence": lambda **a: SynapticIntelligence(c=20.0, **a),
}


@pytest.mark.parametrize("mode", ["penalty", "proximal"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_first_order_of_a_step_is_the_same_in_both_modes(method: str, mode: Any) -> None:
    """At a small learning rate a proximal step is a step on loss plus penalty."""
    net, ledger = made("dense")
    mechanism = METHODS[method](mode=mode)
    ledger.attach(mechanism)
    ledger.before_task(0)
    for step in range(3):
        train_step_double(net, ledger, step)
    ledger.after_task(0, samples(0))
    assert any(bool(omega.any()) for omega in mechanism.importance.values())
    before = moved(net)
    ledger.optimizer.param_groups[0]["lr"] = 1e-7
    x, y = batch(5)
    loss = nn.functional.cross_entropy(net(x.double()), y)
    penalty = sum(
        mechanism.c * (mechanism.importance[name] * (p - mechanism.anchor[name]).square()).sum()
        for name, p in net.named_parameters()
    )
    gradients = torch.autograd.grad(loss + penalty, list(net.parameters()))
    train_step_double(net, ledger, 5)
    for (name, p), gradient in zip(net.named_parameters(), gradients, strict=True):
        torch.testing.assert_close((before[name] - p.detach()) / 1e-7, gradient, rtol=1e-3, atol=1e-5)


def train_step_double(net: nn.Module, ledger: Ledger, seed: int) -> None:
    x, y = batch(seed)
    ledger.optimizer.zero_grad()
    (nn.functional.cross_entropy(net(x.double()), y) + ledger.penalty()).backward()
    ledger.optimizer.step()


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "nesterov", "sgd"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_proximal_spring_of_any_strength_holds_and_masks_stay(kind: str, optimizer: str, method: str) -> None:
    net, ledger = made(kind, optimizer, double=False)
    mechanism = METHODS[method](mode="proximal")
    mechanism.c = 1e12
    ledger.attach(mechanism)
    for task in range(2):
        before = {name: value.clone() for name, value in ledger.current().items()}
        ledger.before_task(task)
        for step in range(5):
            train_step(net, ledger.optimizer, 10 * task + step, ledger)
        after = ledger.current()
        held = {name: task == 1 and mechanism.importance[name] > 1e-6 for name in before}
        assert all(bool(torch.isfinite(value).all()) for value in after.values())
        if task:
            assert sum(int(where.sum()) for where in held.values()) > 30
            for name, where in held.items():
                torch.testing.assert_close(after[name][where], mechanism.anchor[name][where], rtol=1e-3, atol=1e-4)
        ledger.after_task(task, [batch(task)])
        for found in ledger.synapses.values():
            if found.stored == "masked":
                assert not found.current()[~found.live].any()


def test_what_cannot_be_told_apart_is_refused() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
    for mechanism in (ElasticWeights(), AwareSynapses()):
        with pytest.raises(ValueError, match=r"^1\.weight is of no linear layer or convolution"):
            Ledger(net, torch.optim.SGD(net.parameters(), lr=0.1)).attach(mechanism)
    grouped = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2))
    with pytest.raises(ValueError, match="0: convolutions in groups"):
        Ledger(grouped, torch.optim.SGD(grouped.parameters(), lr=0.1)).attach(ElasticWeights())


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: ElasticWeights(c=-1), "c must be at least 0"),
        (lambda: ElasticWeights(decay=2), "decay from 0 to 1"),
        (lambda: ElasticWeights(samples=0), "samples must be at least 1"),
        (lambda: AwareSynapses(c=float("nan")), "c must be at least 0"),
        (lambda: AwareSynapses(together=0), "together at least 1"),
    ],
)
def test_numbers_out_of_range(made: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made()
