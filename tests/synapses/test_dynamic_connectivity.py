"""Dynamic connectivity in a plain loop: counts that stay, momenta that go, what is preserved."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cl_sparse.layers import SparseWeights, SparseWeights2d, rezero_weights
from cl_sparse.synapses import DynamicConnectivity, Frozen, Ledger
from cl_sparse.synapses.connectivity_schedule import Schedule
from tests.synapses.sparse_loop import OPTIMIZERS, Training, masked


@settings(max_examples=40, deadline=None)
@given(
    drop=st.dictionaries(
        st.sampled_from(["magnitude", "signed_magnitude", "coactivation", "opposite", "random", "weighted_magnitude"]),
        st.floats(0, 1),
        max_size=2,
    ),
    grow=st.sampled_from(["random", "gradient", "coactivation", "opposite", "cosine", "ch3"]),
    every=st.sampled_from([None, 1, 3]),
    annealed=st.booleans(),
    again=st.booleans(),
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    live=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_layer_has_as_many_synapses_as_before(drop, grow, every, annealed, again, optimizer, live, seed):
    mechanism = DynamicConnectivity(drop, grow, every, annealed=annealed, again=again)
    training = Training(mechanism, optimizer, seed, live=live)
    counts = {name: int(mask.sum()) for name, mask in training.masks().items()}
    for task in range(2):
        training.task(task)
        masks = training.masks()
        assert {name: int(mask.sum()) for name, mask in masks.items()} == counts
        for name, found in training.ledger.synapses.items():
            if found.stored == "masked":
                assert (found.current().flatten(1)[~masks[name]] == 0).all()


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("kind", ["masked", "live", "conv"])
def test_what_moves_starts_at_nothing(kind, optimizer):
    training = Training(
        DynamicConnectivity({"magnitude": 0.5}), optimizer, **({kind: True} if kind != "masked" else {})
    )
    names = [name for name, found in training.ledger.synapses.items() if found.stored != "dense"]
    training.task(0, epochs=1)
    before = training.masks()
    weights = {name: training.ledger.synapses[name].current().clone() for name in names}
    training.ledger.before_task(1)
    training.ledger.before_epoch(0, 2, 4)
    training.ledger.before_epoch(1, 2, 4)
    after = training.masks()
    for name in names:
        found = training.ledger.synapses[name]
        n = round(0.5 * int(before[name].sum()))
        gone, new = before[name] & ~after[name], after[name] & ~before[name]
        assert int(gone.sum()) == int(new.sum()) == n
        at = found.places()
        grown = new[at]
        state = training.optimizer.state[found.parameter]
        kept = [value for value in state.values() if torch.is_tensor(value) and value.shape == found.parameter.shape]
        assert kept
        for numbers in (found.current(), *kept):
            assert (found.of_live(numbers)[grown] == 0).all()
        if kind != "live":
            for numbers in kept:
                assert (numbers.flatten(1)[gone] == 0).all()
            old = weights[name].flatten(1)
            assert old[gone].abs().max() <= old[before[name] & after[name]].abs().min()


def test_changes_come_when_they_are_due():
    moved = {}
    for name, keywords in {
        "epochs": {},
        "half": {"until": 0.5},
        "steps": {"every": 5},
        "never": {"until": 0.0},
        "annealed": {"annealed": True},
        "late": {"begin": 0.6},
    }.items():
        training = Training(DynamicConnectivity({"random": 0.5}, **keywords))
        training.task(0)
        changes = training.mechanism.statistics()["changes"]
        moved[name] = [(change["time"], change["layers"]["0.module.weight"]["moved"]) for change in changes]
    n = 12 * 4
    assert moved["epochs"] == [(0.25, n // 2), (0.5, n // 2), (0.75, n // 2)]
    assert moved["half"] == [(0.25, n // 2), (0.5, n // 2)]
    assert moved["steps"] == [(5 / 16, n // 2), (10 / 16, n // 2), (15 / 16, n // 2)]
    assert moved["never"] == []
    assert moved["late"] == [(0.75, n // 2)]
    assert [count for _, count in moved["annealed"]] == [round(n * 0.5 * share) for share in (0.853553, 0.5, 0.146447)]


def test_changes_may_come_between_tasks():
    training = Training(DynamicConnectivity({"coactivation": 0.5}, "gradient", every="task"))
    masks = []
    for task in range(3):
        training.task(task)
        masks.append(training.masks()["0.module.weight"])
    changes = training.mechanism.statistics()["changes"]
    assert [(change["task"], change["time"]) for change in changes] == [(1, 0.0), (2, 0.0)]
    assert all(int((a & ~b).sum()) == 24 for a, b in pairwise(masks))
    assert changes[1]["layers"]["0.module.weight"]["survived"] >= 0
    assert changes[0]["layers"]["0.module.weight"]["coactivation"] > 0


def test_a_layer_stops_when_little_survives():
    training = Training(DynamicConnectivity({"magnitude": 0.5}, stop_below=1.0, window=2))
    training.optimizer.param_groups[0]["lr"] = 0.0  # what has grown stays at 0, and goes
    for task in range(2):
        training.task(task, epochs=8)
        layers = [change["layers"] for change in training.mechanism.statistics()["changes"] if change["task"] == task]
        for name in layers[0]:
            assert [change[name]["moved"] > 0 for change in layers] == [True] * 3 + [False] * 4
            assert [change[name]["survived"] for change in layers[1:3]] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("survived", "done"), [([0.1], False), ([0.9, 0.1, 0.1], True), ([0.1, 0.3], False), ([0.1, math.nan, 0.1], True)]
)
def test_a_layer_has_done_by_the_mean_of_a_window(survived, done):
    assert Schedule(stop_below=0.2, window=2).done(survived) is done
    assert Schedule(window=2).done(survived) is False


@pytest.mark.parametrize("live", [False, True])
def test_new_weights_may_be_drawn(live):
    training = Training(DynamicConnectivity({"random": 0.5}, initial="drawn"), live=live)
    training.ledger.before_task(0)
    training.ledger.before_epoch(0, 2, 1)
    before = training.masks()
    training.ledger.before_epoch(1, 2, 1)
    for name, found in training.ledger.synapses.items():
        if found.stored != "dense":
            units, inputs = found.places()
            new = ~before[name][units, inputs]
            bound = torch.bincount(units, minlength=found.shape[0])[units[new]].rsqrt()
            drawn = found.of_live(found.current())[new]
            assert (drawn.abs() <= bound).all()
            assert drawn.unique().numel() == len(drawn)
            assert drawn.min() < 0 < drawn.max()


def test_preserved_synapses_stay():
    training = Training(DynamicConnectivity({"magnitude": 1.0}), others=[frozen := Frozen(0.5, leave=["4.*"])])
    training.task(0)
    held = {name: scale == 0 for name, scale in frozen.updates.scale.items()}
    kept = {name: found.current().clone() for name, found in training.ledger.synapses.items()}
    training.task(1)
    for name, found in training.ledger.synapses.items():
        assert torch.equal(found.current()[held[name]], kept[name][held[name]])


@pytest.mark.parametrize("zeroed", [False, True])
def test_gradients_tell_where_to_grow(zeroed):
    training = Training(DynamicConnectivity({"magnitude": 0.5}, "gradient"))
    training.ledger.before_task(0)
    training.ledger.before_epoch(0, 2, 1)
    nn.functional.cross_entropy(training.net(training.x[0]), training.y[0]).backward()
    training.optimizer.step()
    rezero_weights(training.net)
    gradient, before = training.net[0].module.weight.grad.abs(), training.net[0].live_mask()
    if zeroed:
        training.optimizer.zero_grad(set_to_none=False)  # in place
    training.ledger.before_epoch(1, 2, 1)
    new = training.net[0].live_mask() & ~before
    assert gradient[new].min() >= gradient[~before & ~new].max() > 0


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("rules", [({"magnitude": 0.5}, "gradient"), ({"random": 0.5}, "random")])
@pytest.mark.parametrize("every", [None, 3, "task"])
def test_heads_of_other_tasks_stay(rules, every, set_to_none):
    torch.manual_seed(0)
    net = nn.ModuleDict({"body": masked(9, 12), "0": masked(12, 6), "1": masked(12, 6)})
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    ledger = Ledger(net, optimizer)
    ledger.attach(DynamicConnectivity(*rules, every))
    masks = [{name: net[name].live_mask() for name in net}]
    for task in range(3):
        ledger.before_task(task)
        for epoch in range(2):
            ledger.before_epoch(epoch, 2, 4)
            for _ in range(4):
                optimizer.zero_grad(set_to_none)
                net[str(task % 2)](net["body"](torch.randn(8, 9)).relu()).logsumexp(1).sum().backward()
                optimizer.step()
                rezero_weights(net)
        ledger.after_task(task)
        masks.append({name: net[name].live_mask() for name in net})
    trained = [None, "0", "1"] if every == "task" else ["0", "1", "0"]  # a task's, or that of the task before
    for head, before, after in zip(trained, masks, masks[1:], strict=False):
        moved = {name for name in net if not torch.equal(before[name], after[name])}
        assert moved == (set() if head is None else {"body", head})


def test_where_few_places_are_free_any_may_go():
    torch.manual_seed(0)
    net = nn.Sequential(SparseWeights(nn.Linear(20, 30), weight_sparsity=0.9))
    ledger = Ledger(net, None)
    ledger.attach(DynamicConnectivity({"magnitude": 0.5}))
    before = net[0].live_mask()
    ledger.before_task(0)
    ledger.before_epoch(1, 2, 1)
    gone = (before & ~net[0].live_mask()).sum(1)
    assert int(gone.sum()) == 60
    assert int((gone > 0).sum()) > 20  # of 30 units


def test_moves_between_steps_need_to_know_how_many_there_will_be():
    training = Training(DynamicConnectivity(every=2))
    training.ledger.before_task(0)
    training.net(training.x[0]).sum().backward()
    with pytest.raises(ValueError, match="every 2 steps up to which one"):
        training.optimizer.step()


def test_places_once_alive_are_remembered():
    training = Training(DynamicConnectivity({"random": 0.5}))
    ever = training.masks()["0.module.weight"].clone()

    def look():
        ever.logical_or_(training.masks()["0.module.weight"])

    training.task(0, watch=look)
    last = training.mechanism.statistics()["changes"][-1]["layers"]["0.module.weight"]
    assert last["ever"] == pytest.approx(float(ever.float().mean()))
    assert 0 <= last["survived"] <= 1


def test_what_cannot_be_is_refused():
    for keywords, said in (
        ({"drop": {"magnitud": 0.1}}, "drop: unknown rule 'magnitud', did you mean"),
        ({"grow": "gradiant"}, "grow: unknown rule 'gradiant', did you mean gradient"),
        ({"drop": {"magnitude": 1.5}}, "magnitude: a share is from 0 to 1, not 1.5"),
        ({"until": 2.0}, "until must be from 0 to 1"),
        ({"begin": 0.8, "until": 0.5}, "begin from 0 to until, not 0.5 and 0.8"),
        ({"drop": "magnitude"}, "drop: rules and their shares are needed, as in .*, not 'magnitude'"),
        ({"drop": {"magnitude": "0.3"}}, "magnitude: a share is from 0 to 1, not '0.3'"),
        ({"drop": {"magnitude": None}}, "magnitude: a share is from 0 to 1, not None"),
        ({"grow": ["random"]}, "grow: unknown rule"),
        ({"initial": "uniform"}, "initial must be zero or drawn, not 'uniform'"),
        ({"every": 0}, "every must be at least 1 step, task, or None for between epochs, not 0"),
        ({"every": "epoch"}, "every must be at least 1 step, task, or None for between epochs, not 'epoch'"),
        ({"every": 2.5}, "every must be at least 1 step, task, or None for between epochs, not 2.5"),
        ({"every": "task", "begin": 0.5}, "begin, until and annealed are about a task's time"),
        ({"every": "task", "until": 0.5}, "begin, until and annealed are about a task's time"),
        ({"every": "task", "annealed": True}, "begin, until and annealed are about a task's time"),
        ({"every": 5, "update_interval": 6}, "before the 6 steps of update_interval have gone by"),
        ({"window": 0}, "window must be at least 1"),
        ({"candidates": 0}, "candidates must be at least 1, not 0"),
        ({"moving_average": 0.0}, "moving_average above 0 and at most 1, not 1 and 0.0"),
    ):
        with pytest.raises(ValueError, match=said):
            DynamicConnectivity(**keywords)
    with pytest.raises(ValueError, match="no layer is sparse, so no place is free"):
        Ledger(nn.Sequential(nn.Linear(3, 2)), None).attach(DynamicConnectivity())
    with pytest.raises(ValueError, match="0 stores its live synapses only: coactivations are counted at candidates"):
        Training(DynamicConnectivity(grow="cosine", reset=False), live=True)
    padded = SparseWeights2d(nn.Conv2d(1, 2, 3, padding="same"), weight_sparsity=0.5)
    with pytest.raises(ValueError, match="padded otherwise than by zeros, are not known"):
        Ledger(nn.Sequential(padded), None).attach(DynamicConnectivity(grow="cosine"))
