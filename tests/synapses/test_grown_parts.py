"""Growth with preservation: exact counts, places that no two tasks share, old logits that stay bit for bit."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cl_sparse.errors import UserError
from cl_sparse.models import SimpleCNN, SimpleMLP, SingleHead
from cl_sparse.synapses import ContextMeans, GrownParts, Ledger, live_synapses, synapse_positions, total_parameters
from cl_sparse.synapses.grown_parts import _drawn

SHAPE = (1, 4, 5)


def a_part(cnn=False, **changes):
    keywords = {"hidden_units": 12, "sparsify": True, "weight_sparsity_fc": 0.3, "boost_strength": 0.0, **changes}
    if cnn:
        keywords = {"weight_sparsity_conv": 0.3, **keywords}
        return SimpleCNN((1, 10, 10), lambda features: SingleHead(features, 3), **keywords)
    keywords = {"hidden_layers": 2, **keywords}
    return SimpleMLP(SHAPE, lambda features: SingleHead(features, 3), **keywords)


OPTIMIZERS = {
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
}


class Stream:
    """A net that is trained on tasks of random data; what the first tasks' parts give is remembered."""

    def __init__(self, mechanism, n_tasks=4, optimizer="adam", seed=0, shape=SHAPE, **changes):
        torch.manual_seed(seed)
        self.net = mechanism.wrap(a_part(**changes), n_tasks)
        self.optimizer = OPTIMIZERS[optimizer](self.net.parameters())
        self.ledger = Ledger(self.net, self.optimizer, seed)
        self.ledger.attach(mechanism)
        self.data = [(torch.randn(24, *shape).relu(), torch.randint(3, (24,))) for _ in range(n_tasks)]

    def train(self, task, epochs=3):
        x, y = self.data[task]
        labels = torch.full((len(x),), task)
        self.net.train()
        self.ledger.before_task(task, [(x, y)])
        for epoch in range(epochs):
            self.ledger.before_epoch(epoch, epochs, 2)
            for _ in range(2):
                self.optimizer.zero_grad()
                nn.functional.cross_entropy(self.net(x, labels), y).backward()
                self.optimizer.step()
                for layer in self.ledger.synapses.values():
                    if layer.live is not None:
                        layer.module.rezero_weights()
        self.ledger.after_task(task, [(x, y)])

    @torch.no_grad()
    def logits(self, task):
        return self.net.eval()(self.data[0][0], torch.full((24,), task))


@settings(max_examples=25, deadline=None)
@given(
    width=st.sampled_from([None, 1.0, 1.7, 3.0]),
    reuse=st.booleans(),
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    winners=st.booleans(),
    norm=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_what_a_task_grew_is_preserved_bit_for_bit(width, reuse, optimizer, winners, norm, seed):
    mechanism = GrownParts(width=width, reuse=reuse, full="less", moved=0.4)
    share = 0.4 if winners else 1.0
    stream = Stream(mechanism, optimizer=optimizer, seed=seed, percent_on_fc=share, batch_norm=norm)
    net, known, grown = stream.net, {}, {}
    for task in range(4):
        stream.train(task)
        known[task] = stream.logits(task)
        for earlier in range(task):
            assert torch.equal(stream.logits(earlier), known[earlier])
        for layer in net.hidden:
            places, weights = net.owned(layer)
            assert places.unique().numel() == places.numel()  # at most one synapse at each place
            before, kept = grown.get(layer, (places[:0], weights[:0]))
            at = torch.isin(places, before)
            assert torch.equal(places[at], before)
            assert torch.equal(weights[at], kept)
            new = len(places) - len(before)
            assert new == net.budget[layer] or (width is not None and new < net.budget[layer])
            grown[layer] = places, weights
    own = [p for name, p in net.net.named_parameters() if name in net.own]
    live = sum(len(places) for places, _ in grown.values())
    heads = 4 * sum(p.numel() for p in own if p.dim() > 1)
    assert live_synapses(net) == live + heads
    assert total_parameters(net) == live + 4 * sum(p.numel() for p in own)
    wide = [round((width or 4) * 12)] * 2
    assert synapse_positions(net) == 20 * wide[0] + wide[0] * wide[1] + heads


@pytest.mark.parametrize("reuse", [False, True])
def test_a_part_is_a_net_of_its_own(reuse):
    """The slow way: the wide net's weight matrices, dense, with what lives for a task; then rows and columns of it."""
    stream = Stream(GrownParts(width=1.5, reuse=reuse, full="less"))
    for task in range(3):
        stream.train(task)
    net = stream.net
    for task in range(3):
        stored = net.stored[str(task)]
        h = stream.data[0][0].flatten(1)
        below = torch.arange(20)
        for number, layer in enumerate(net.hidden, start=1):
            units = stored.layer(layer)["units"].long()
            dense = torch.zeros(net.total(layer), net.inputs_total(layer))
            for owner in range(task + 1):
                part = net.stored[str(owner)]
                if owner != task and not reuse:
                    continue
                names = list(net.hidden)
                ids = torch.arange(20) if number == 1 else part.layer(names[0])["units"].long()
                for place, value in zip(part.layer(layer)["places"], part.layer(layer)["values"], strict=True):
                    unit, below_unit = divmod(int(place), len(ids))
                    dense[part.layer(layer)["units"][unit].long(), ids[below_unit]] = value
            bias = stored.tensor(f"{layer}.bias")
            h = (h @ dense[units][:, below].T + bias).relu()
            below = units
        head = next(name for name in net.own if name.endswith("weight"))
        logits = h @ stored.tensor(head).T + stored.tensor(head.replace("weight", "bias"))
        torch.testing.assert_close(stream.logits(task), logits, rtol=1e-4, atol=1e-5)


def test_units_that_the_fewest_tasks_use_are_chosen():
    stream = Stream(GrownParts(width=2.0), n_tasks=4)
    layer = next(iter(stream.net.hidden))
    for task, uses in enumerate(([12, 12], [0, 24], [0, 12, 12], [0, 0, 24])):
        stream.train(task, epochs=1)
        assert torch.bincount(stream.net.uses(layer), minlength=len(uses)).tolist() == uses


def test_growth_is_recorded():
    mechanism = GrownParts(width=2.0, reuse=True)
    stream = Stream(mechanism)
    for task in range(3):
        stream.train(task)
    growth = mechanism.statistics()["growth"]
    first, second = list(stream.net.hidden)
    assert [entry["task"] for entry in growth] == [0, 1, 2]
    budget = stream.net.budget
    assert [entry["layers"][first]["grown"] for entry in growth] == [budget[first]] * 3
    assert [entry["layers"][second]["shared_units"] for entry in growth] == [0, 0, 12]
    assert [entry["layers"][first]["free"] for entry in growth] == [24 * 20 - n * budget[first] for n in (1, 2, 3)]
    reused = [entry["layers"][first]["reused"] for entry in growth]
    assert reused[:2] == [0, 0]
    assert reused[2] == sum(
        int(p) in {int(unit) * 20 + i for unit in stream.net.stored["2"].layer(first)["units"] for i in range(20)}
        for owner in ("0", "1")
        for unit in [stream.net.stored[owner].layer(first)]
        for p in unit["units"].long()[unit["places"].long() // 20] * 20 + unit["places"] % 20
    )


def test_places_are_drawn_in_proportion_to_the_spread():
    generator = torch.Generator().manual_seed(0)
    chance = torch.tensor([0.0, 1.0, 2.0, 4.0, -1.0]).expand(4000, 5)
    counts = sum(_drawn(row, 1, generator).long() for row in chance)
    assert counts[0] == counts[4] == 0
    torch.testing.assert_close(counts / 4000, torch.tensor([0, 1, 2, 4, 0]) / 7, atol=0.03, rtol=0)
    assert _drawn(chance[0], 4, generator).tolist() == [True] * 4 + [False]

    stream = Stream(GrownParts(moved=0.0))
    x = torch.randn(24, *SHAPE)
    x.flatten(1)[:, ::2] = 3.0  # no spread at all
    stream.data[0] = x, stream.data[0][1]
    stream.train(0, epochs=1)
    stored = stream.net.stored["0"].layer(next(iter(stream.net.hidden)))
    assert set((stored["places"] % 20 % 2).tolist()) == {1}


def test_the_smallest_synapses_move_to_the_largest_gradient():
    mechanism = GrownParts(moved=0.5, until=1.0)
    stream = Stream(mechanism, optimizer="momentum")
    net, (x, y) = stream.net, stream.data[0]
    stream.ledger.before_task(0, [(x, y)])
    nn.functional.cross_entropy(net(x, torch.zeros(24, dtype=torch.long)), y).backward()
    stream.optimizer.step()
    layer = next(iter(net.hidden))
    found = mechanism._found(layer)
    found.module.rezero_weights()
    pull, weight, live = (
        stream.optimizer.state[found.parameter]["momentum_buffer"].clone(),
        found.current().clone(),
        None,
    )
    live = found.live.clone()
    stream.ledger.before_epoch(1, 2, 1)
    n = round(0.5 * int(live.sum()))
    gone, new = live & ~found.live, found.live & ~live
    assert int(gone.sum()) == int(new.sum()) == n
    assert weight[gone].abs().max() <= weight[live & ~gone].abs().min()
    assert pull[new].abs().min() >= pull[~live & ~new].abs().max()
    assert found.current()[new].abs().max() == 0


def test_a_task_that_ends_is_restored_from_what_was_saved():
    stream = Stream(GrownParts(width=2.0))
    stream.train(0)
    stream.train(1)
    saved = copy.deepcopy((stream.net.state_dict(), stream.ledger.structure(), stream.ledger.state_dict()))
    for task in (2, 3):
        stream.train(task)
    again = Stream(GrownParts(width=2.0))
    again.ledger.rebuild(saved[1])
    again.net.load_state_dict(saved[0])
    again.ledger.load_state_dict(saved[2])
    again.data = stream.data
    for task in (2, 3):
        again.train(task)
    for task in range(4):
        assert torch.equal(again.logits(task), stream.logits(task))


def test_a_full_net_says_so():
    stream = Stream(GrownParts(width=1.0), n_tasks=5)
    for task in range(3):
        stream.train(task)
    with pytest.raises(UserError, match=r"features.fc1.module is full: task 3 is to grow 72 synapses, and 24 places"):
        stream.train(3)


def test_tasks_do_not_depend_on_each_other_but_for_their_places():
    alone, after = Stream(GrownParts(moved=0.0)), Stream(GrownParts(moved=0.0))
    for task in range(3):
        after.train(task)
    alone.train(2)
    torch.testing.assert_close(alone.logits(2), after.logits(2), rtol=1e-4, atol=1e-6)


def test_convolutions_grow_too():
    mechanism = GrownParts(places="uniform", moved=0.2, width=3.0)
    stream = Stream(mechanism, cnn=True, shape=(1, 10, 10), percent_on_conv=0.5)
    known = []
    for task in range(3):
        stream.train(task)
        known.append(stream.logits(task))
        for earlier, logits in enumerate(known):
            assert torch.equal(stream.logits(earlier), logits)
    with pytest.raises(ValueError, match="a linear first layer: choose uniform"):
        GrownParts().wrap(a_part(cnn=True), 3)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"features.fc1 is dense: sparse weights are needed"):
        GrownParts().wrap(a_part(sparsify=False), 3)
    for wrong in ({"width": 0.5}, {"moved": 1.5}, {"until": -1}):
        with pytest.raises(ValueError, match="width must be at least 1, moved and until from 0 to 1"):
            GrownParts(**wrong)
    stream = Stream(GrownParts())
    with pytest.raises(ValueError, match="spread needs the task's training data"):
        stream.ledger.before_task(0)


def test_the_task_may_be_inferred():
    torch.manual_seed(0)
    grown, means = GrownParts(), ContextMeans()
    net = means.wrap(grown.wrap(a_part(), 2), 2)
    ledger = Ledger(net, torch.optim.Adam(net.parameters(), lr=0.01))
    ledger.attach(grown)
    ledger.attach(means)
    batches = [(torch.randn(20, *SHAPE) + 3 * task, torch.randint(3, (20,))) for task in range(2)]
    for task, (x, y) in enumerate(batches):
        ledger.before_task(task, [(x, y)])
        nn.functional.cross_entropy(net.train()(x), y).backward()
        ledger.optimizer.step()
        for found in ledger.synapses.values():
            if found.live is not None:
                found.module.rezero_weights()
        ledger.after_task(task, [(x, y)])
    net.eval()
    both = torch.cat([x for x, _ in batches])
    labels = torch.arange(2).repeat_interleave(20)
    assert torch.equal(net.infer(both), labels)
    assert torch.equal(net(both), net.net(both, labels))
