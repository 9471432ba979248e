"""Nets, optimizers and states that a ledger meets: one ledger each, and what it cannot follow is refused."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cl_sparse.synapses import Ledger, SynapticIntelligence, scale_updates
from tests.synapses.nets import NETS, OPTIMIZERS, batch, train_step


def test_a_net_has_one_ledger() -> None:
    net = NETS["masked"]()
    first = Ledger(net)
    first.keep("a", "x")
    second = Ledger(net)
    assert second.synapses.keys() == first.synapses.keys()  # looking is free
    with pytest.raises(ValueError, match="have a ledger already"):
        second.keep("b", "x")
    with pytest.raises(ValueError, match="have a ledger already"):
        second.resize("0", torch.arange(19))
    first.let_go()
    second.keep("b", "x")
    with pytest.raises(ValueError, match="have a ledger already"):
        first.keep("a", "y")
    del second
    first.keep("a", "y")  # nobody holds the second any more


def test_kernels_that_lie_channels_last_keep_their_numbers() -> None:
    torch.manual_seed(0)
    net = NETS["conv"]().to(memory_format=torch.channels_last)
    twin = NETS["conv"]()
    twin.load_state_dict(net.state_dict())
    read = []
    for each in (net, twin):
        ledger = Ledger(each, OPTIMIZERS["nesterov"](each))
        train_step(each, ledger.optimizer, 0)
        tags = ledger.keep("test", "tag")
        found = ledger.synapses["1.module.weight"]
        found.set_live(tags[found.name], torch.arange(1.0, found.n_live + 1))
        units, inputs = found.places()
        free = torch.ones(6, 12, dtype=torch.bool)
        free[units, inputs] = False
        grown = free.nonzero()[:4]
        ledger.rewire(found, torch.arange(5), (grown[:, 0], grown[:, 1]), torch.full((4,), 0.25))
        train_step(each, ledger.optimizer, 1)
        momentum = ledger.optimizer.state[found.parameter]["momentum_buffer"]
        read.append((found.places(), found.of_live(tags[found.name]), found.of_live(momentum), found.current()))
        assert torch.equal(found.current(found.places()), found.of_live(found.current()))
    assert net[1].module.weight.is_contiguous(memory_format=torch.channels_last)
    for ours, theirs in zip(*read, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_net_that_gained_outputs_or_heads_by_other_means_goes_on() -> None:
    net = NETS["dense"]()
    ledger = Ledger(net, OPTIMIZERS["sgd"](net))
    tags = ledger.keep("test", "tag", fresh=-1.0)
    tags["2.weight"].fill_(7.0)
    net[2] = nn.Linear(20, 8)  # as Avalanche's IncrementalClassifier
    net.add_module("3", nn.Linear(8, 3))  # as a new head
    ledger.before_task(1)
    assert (tags["2.weight"][:5] == 7).all()
    assert (tags["2.weight"][5:] == -1).all()
    assert (tags["3.weight"] == -1).all()
    assert tags["2.weight"].shape == (8, 20)
    net[2] = nn.Linear(21, 8)
    with pytest.raises(ValueError, match=r"2\.weight was \(8, 20\) and is \(8, 21\)"):
        ledger.before_task(2)
    assert tags["2.weight"].shape == (8, 20)


def test_numbers_follow_a_change_of_type() -> None:
    net = NETS["dense"]()
    ledger = Ledger(net, OPTIMIZERS["sgd"](net))
    tags = ledger.keep("test", "tag", fresh=2.0)
    net.double()
    ledger.before_task(0)
    assert all(number.dtype is torch.float64 and (number == 2).all() for number in tags.values())


def test_the_samples_that_k_winners_saw_come_back() -> None:
    net = NETS["masked"]()
    ledger = Ledger(net)
    net(batch(0)[0])
    state = ledger.state_dict()
    fresh = NETS["masked"]()
    Ledger(fresh).load_state_dict(state)
    assert fresh[2].learning_iterations == net[2].learning_iterations == 16


def test_a_mechanism_that_slows_down_is_refused_at_once_where_it_would_not_be_exact() -> None:
    net = NETS["winner"]()
    with pytest.raises(ValueError, match="only without weight decay"):
        Ledger(net, OPTIMIZERS["lazy"](net)).attach(SynapticIntelligence(mode="slow"))


class Tied(nn.Module):
    """A layer that shares its weight with an embedding that comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(7, 4), nn.Linear(4, 7)
        self.out.weight = self.embedding.weight


def test_a_shared_weight_has_its_parameters_name() -> None:
    ledger = Ledger(Tied())
    assert ledger.current().keys() == ledger.parameters().keys() == {"embedding.weight", "out.bias"}
    assert ledger.synapses["embedding.weight"].layer == "out"


def test_a_weight_that_is_computed_from_others_is_refused() -> None:
    net = NETS["dense"]()
    nn.utils.parametrizations.weight_norm(net[0])
    with pytest.raises(ValueError, match="0: its weight is computed"):
        _ = Ledger(net).synapses


def test_a_copy_of_a_ledger_owns_the_copied_net() -> None:
    net = NETS["dense"]()
    ledger = Ledger(net)
    ledger.keep("a", "x")
    its_net, its_ledger = copy.deepcopy((net, ledger))
    with pytest.raises(ValueError, match="have a ledger already"):
        Ledger(its_net).keep("a", "x")
    its_ledger.keep("a", "y")


def test_a_net_that_was_rebuilt_trains_before_anything_is_loaded() -> None:
    for kind, optimizer in (("dense", "sgd"), ("winner", "lazy")):
        net = NETS[kind]()
        ledger = Ledger(net, OPTIMIZERS[optimizer](net))
        structure = ledger.structure()
        ledger.resize("0", torch.arange(20), add=3)
        scale_updates(ledger, {"0.weight": 0.0})
        ledger.rebuild(structure)
        ledger.optimizer.state.clear()
        train_step(net, ledger.optimizer, 0)


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    state = Ledger(NETS["masked"]()).state_dict()
    ledger = Ledger(NETS["dense"]())
    with pytest.raises(ValueError, match="k-winners"):
        ledger.load_state_dict(state | {"resizings": 9})
    assert ledger.resizings == 0


@pytest.mark.parametrize("make", [torch.optim.Adafactor, torch.optim.Rprop, torch.optim.LBFGS])
def test_an_optimizer_whose_numbers_cannot_follow_is_refused_before_anything_changes(make: Any) -> None:
    net = NETS["dense"]()
    optimizer = make(net.parameters())
    ledger = Ledger(net, optimizer)
    x, y = batch(0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(ValueError, match="cannot follow"):
        ledger.resize("0", torch.arange(19, -1, -1))
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in before.items())
