"""Sparse training by one object: counts, the instant prune, what is baked, training that goes on where it stopped."""

import copy
import pickle

import pytest
import torch
from torch import nn

from cl_sparse.layers import SparseLinear
from cl_sparse.synapses import DynamicConnectivity, Frozen, SparseTraining

RULES = {
    "set": lambda: DynamicConnectivity(),
    "rigl": lambda: DynamicConnectivity({"magnitude": 0.3}, "gradient", every=3, until=0.75, annealed=True),
    "hebbian": lambda: DynamicConnectivity({"coactivation": 0.4, "signed_magnitude": 0.4}, "cosine", initial="drawn"),
    "static": lambda: None,
}
STEPS, EPOCHS = 5, 3


def a_net(live=False):
    torch.manual_seed(0)
    first = SparseLinear(36, 12, density=0.5) if live else nn.Linear(36, 12)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), first, nn.ReLU(), nn.Linear(12, 3))


class Loop:
    def __init__(self, rule, density=0.3, **keywords):
        self.net = a_net()
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9)
        mechanism = RULES[rule]()
        self.sparse = SparseTraining(
            self.net, self.optimizer, density, mechanism, epochs=EPOCHS, steps=STEPS, **keywords
        )
        self.x = torch.randn(EPOCHS * STEPS, 16, 1, 5, 5, generator=torch.Generator().manual_seed(1))
        self.y = torch.randint(3, (EPOCHS * STEPS, 16), generator=torch.Generator().manual_seed(2))

    def train(self, first=0, last=EPOCHS * STEPS):
        for x, y in zip(self.x[first:last], self.y[first:last], strict=True):
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.net(x), y).backward()
            self.optimizer.step()
            self.sparse.step()

    def parts(self):
        return [self.net, self.optimizer, self.sparse]


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_net_stays_as_sparse_as_it_was(rule):
    loop = Loop(rule)
    before = loop.sparse.masks()
    places = sum(mask.numel() for mask in before.values())
    assert sum(int(mask.sum()) for mask in before.values()) == round(0.3 * places)
    loop.train()
    after = loop.sparse.masks()
    assert list(after) == ["0.module.weight", "3.module.weight", "5.module.weight"]
    for name, mask in after.items():
        assert int(mask.sum()) == int(before[name].sum())
        assert (loop.net.get_parameter(name)[~mask] == 0).all()
    assert any(bool((mask != before[name]).any()) for name, mask in after.items()) is (rule != "static")


@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize("stop", [4, STEPS, 7])
def test_training_goes_on_where_it_stopped(rule, stop):
    whole, first, second = Loop(rule), Loop(rule), Loop(rule)
    whole.train()
    first.train(last=stop)
    states = copy.deepcopy([part.state_dict() for part in first.parts()])
    torch.rand(7)  # global random numbers do not matter
    for part, state in zip(second.parts(), states, strict=True):
        part.load_state_dict(state)
    second.train(first=stop)
    assert all(torch.equal(a, b) for a, b in zip(whole.net.parameters(), second.net.parameters(), strict=True))
    assert all(torch.equal(a, second.sparse.masks()[name]) for name, a in whole.sparse.masks().items())


def test_a_test_between_epochs_sees_the_net_as_it_was_trained():
    loop = Loop("set")
    before = loop.sparse.masks()["3.module.weight"]
    loop.train(last=STEPS)
    loop.net.eval()
    loop.net(loop.x[0])
    loop.net.train()
    with torch.no_grad():
        loop.net(loop.x[0])
    assert torch.equal(loop.sparse.masks()["3.module.weight"], before)
    loop.net(loop.x[0])
    assert not torch.equal(loop.sparse.masks()["3.module.weight"], before)


@pytest.mark.parametrize("distribution", ["uniform", "erdos_renyi_kernel"])
def test_pruning_drops_the_smallest_weights(distribution):
    loop = Loop("static", density=None, distribution=distribution, leave=["5"])
    loop.train()
    weights = {name: loop.net.get_parameter(name).detach().clone() for name in loop.sparse.masks()}
    places = sum(weight.numel() for weight in weights.values())
    for density in (0.5, 0.2):
        loop.sparse.prune(density)
        masks = loop.sparse.masks()
        assert list(masks) == ["0.module.weight", "3.module.weight"]
        assert sum(int(mask.sum()) for mask in masks.values()) == round(density * places)
        for name, mask in masks.items():
            weight = weights[name].abs()
            assert (loop.net.get_parameter(name) == weights[name] * mask).all()
            if not mask.all():
                assert weight[mask].min() >= weight[~mask].max()
                momentum = loop.optimizer.state[loop.net.get_parameter(name)]["momentum_buffer"]
                assert (momentum[~mask] == 0).all()
    with pytest.raises(ValueError, match="synapses, fewer than"):
        loop.sparse.prune(0.9)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_baked_layers_are_plain_and_give_the_same(rule):
    loop = Loop(rule)
    loop.train()
    expected, names = loop.net(loop.x[0]), [name for name, _ in a_net().named_parameters()]
    baked = loop.sparse.bake()
    assert [name for name, _ in baked.named_parameters()] == names
    assert [type(module) for module in baked] == [type(module) for module in a_net()]
    assert torch.equal(baked(loop.x[0]), expected)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in baked.modules())
    SparseTraining(baked, torch.optim.SGD(baked.parameters(), lr=0.1), 0.2, steps=1)  # another may begin


def test_layers_that_store_live_synapses_take_part():
    net = a_net(live=True)
    optimizer = torch.optim.Adam(net.parameters())
    sparse = SparseTraining(net, optimizer, 0.2, RULES["set"](), epochs=2, steps=2)
    count = int(sparse.masks()["3.values"].sum())
    assert count == net[3].values.numel() < 200
    for _ in range(4):
        net(torch.randn(2, 1, 5, 5)).sum().backward()
        optimizer.step()
        sparse.step()
    sparse.prune(0.1)
    assert net[3].values.numel() < count
    x = torch.randn(2, 1, 5, 5)
    expected = net(x)
    torch.testing.assert_close(sparse.bake()(x), expected)
    assert type(net[3]) is nn.Linear


def test_what_cannot_be_is_refused():
    net = a_net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    with pytest.raises(ValueError, match="epochs and steps must be at least 1, not 1 and 0"):
        SparseTraining(net, optimizer, steps=0)
    with pytest.raises(ValueError, match="no linear layer or convolution within the net is left to be sparse"):
        SparseTraining(a_net(), optimizer, steps=1, leave=["*"])
    for keywords, said in (
        ({"density": 1.5}, "density must be from 0 to 1, not 1.5"),
        ({"leave": ["fife"]}, "leave: nothing is called 'fife', choose one of: 0, 3, 5"),
        ({"mechanism": "rigl"}, "mechanism must be a DynamicConnectivity, or None, not 'rigl'"),
    ):
        with pytest.raises(ValueError, match=said):
            SparseTraining(net, optimizer, steps=1, **keywords)
        assert [type(module) for module in net] == [type(module) for module in a_net()]  # nothing has been wrapped
    net(torch.randn(1, 1, 5, 5)).sum().backward()
    optimizer.step()
    with pytest.raises(ValueError, match="density draws the weights anew"):
        SparseTraining(net, optimizer, 0.1, steps=1)


def test_an_optimizer_that_remembers_something_from_the_start_has_not_taken_steps():
    net = a_net()
    optimizer = torch.optim.Adagrad(net.parameters())
    sparse = SparseTraining(net, optimizer, 0.2, RULES["set"](), epochs=2, steps=1)
    for _ in range(2):
        net(torch.randn(2, 1, 5, 5)).sum().backward()
        optimizer.step()
        sparse.step()
    with pytest.raises(ValueError, match="density draws the weights anew"):
        SparseTraining(net, optimizer, 0.1, steps=1)


def test_pruning_leaves_what_is_preserved():
    loop = Loop("static", density=0.5, distribution="uniform", leave=["5"])
    loop.sparse.ledger.attach(frozen := Frozen(0.4, rule="random"))
    loop.sparse.ledger.after_task(0)
    held = {name: frozen.updates.scale[name] == 0 for name in loop.sparse.masks()}
    assert any(bool((loop.sparse.masks()[name] & held[name]).any()) for name in held)
    kept = {name: loop.sparse.masks()[name] & held[name] for name in held}
    loop.sparse.prune(0.25)
    masks = loop.sparse.masks()
    assert sum(int(mask.sum()) for mask in masks.values()) == round(0.25 * (4 * 9 + 12 * 36))
    assert all(bool(masks[name][kept[name]].all()) for name in kept)
    with pytest.raises(ValueError, match="0 has 7 synapses that are preserved, more than 4"):
        loop.sparse.prune(0.1)
    assert all(torch.equal(mask, loop.sparse.masks()[name]) for name, mask in masks.items())


@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize("first", ["net", "object"])
def test_a_copy_goes_on_by_itself(rule, first):
    loop, alone = Loop(rule), Loop(rule)
    loop.train(last=7)
    alone.train()
    copied = Loop.__new__(Loop)
    copied.x, copied.y = loop.x, loop.y
    if first == "net":
        copied.net, copied.optimizer, copied.sparse = copy.deepcopy(tuple(loop.parts()))
    else:
        copied.sparse, copied.net, copied.optimizer = copy.deepcopy((loop.sparse, loop.net, loop.optimizer))
    for each in (copied, loop):
        each.train(first=7)
        assert all(torch.equal(a, b) for a, b in zip(alone.net.parameters(), each.net.parameters(), strict=True))
        assert all(torch.equal(a, each.sparse.masks()[name]) for name, a in alone.sparse.masks().items())


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_copy_of_the_net_alone_is_a_net(rule):
    loop, alone = Loop(rule), Loop(rule)
    loop.train(last=7)
    alone.train()
    for copied in (copy.deepcopy(loop.net), pickle.loads(pickle.dumps(loop.net))):
        with torch.no_grad():
            assert torch.equal(copied(loop.x[0]), loop.net(loop.x[0]))
        for _ in range(3):
            copied(loop.x[0] + 1).sum().backward()  # nothing of this is training of the first one
    loop.train(first=7)
    assert all(torch.equal(a, b) for a, b in zip(alone.net.parameters(), loop.net.parameters(), strict=True))
