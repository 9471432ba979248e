"""SET layers in an experiment: the same as SparseNet in a plain loop, and what they record."""

import numpy as np
import pytest
import torch
from torch import nn

from cl_sparse.layers import SETLinear
from cl_sparse.metrics import square_means
from cl_sparse.synapses import Frozen, Ledger, SetLayers

SET = {"benchmark": "SplitDigits", "num_batch": 1, "scenario": "class", "widths": [40, 20], "dropout": 0.0}


def layers(run):
    return [module for module in run.learner.model.modules() if isinstance(module, SETLinear)]


def test_between_epochs(make_run, tmp_path):
    run = make_run(**SET, train_ep=3, plugins=[{"name": "set_layers", "epsilon": 5}, {"name": "per_epoch"}])
    counts = [layer.values.numel() for layer in layers(run)]
    assert counts == [5 * (64 + 40), 5 * (40 + 20)]
    stats = run.run(tmp_path / "c.pt")
    found = stats["mechanisms"]["set_layers"]
    assert found["evolutions"] == 2 * 2
    assert [layer.values.numel() for layer in layers(run)] == counts
    first = layers(run)[0]
    assert found["connections"].tolist() == first.indices[1].bincount(minlength=64).tolist()
    assert found["squares"].shape == (3, 4)
    np.testing.assert_allclose(found["squares"][-1], square_means(found["connections"]))
    for layer in layers(run):
        assert 0.25 < float((layer.values == 0).float().mean()) <= 0.3  # zeroed at the end, and tested so
        assert torch.equal(layer.values == 0, layer.marked)
    assert stats["per_epoch"]["test_accuracy"][-1] == stats["accs"][0, 0] > 0.5
    assert stats["live_synapses"] == sum(counts) + 20 * 10


def test_between_steps(make_run, tmp_path):
    run = make_run(**SET, train_ep=2, plugins=[{"name": "set_layers", "epsilon": 5, "chance": 0.4}])
    before = [set(zip(*layer.indices.tolist(), strict=True)) for layer in layers(run)]
    stats = run.run(tmp_path / "c.pt")
    steps = sum(stats["steps"])
    assert 0.4 * steps * 0.5 < stats["mechanisms"]["set_layers"]["evolutions"] < 0.4 * steps * 1.5
    for layer, places in zip(layers(run), before, strict=True):
        assert set(zip(*layer.indices.tolist(), strict=True)) != places
        assert not (layer.values == 0).any()


def test_it_is_the_layer_s_own_evolution():
    def fresh():
        torch.manual_seed(0)
        net = nn.Sequential(SETLinear(16, 12, density=0.4), nn.ReLU(), nn.Linear(12, 2))
        return net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    x, y = torch.randn(8, 16), torch.randint(2, (8,))
    (net, optimizer), (other, alone) = fresh(), fresh()
    ledger = Ledger(net, optimizer)
    ledger.attach(SetLayers(zeta=0.3))
    ledger.before_task(0)
    drawn = torch.Generator()
    drawn.set_state(ledger._generators["SetLayers"].get_state())
    for epoch in range(3):
        ledger.before_epoch(epoch, 3, 2)
        if epoch:
            other[0].evolve_connections(alone, drawn)
        for _ in range(2):
            for model, steps in ((net, optimizer), (other, alone)):
                steps.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()
                steps.step()
        ledger.after_epoch()
        other[0].zero_connections()
    for one, two in zip(net.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_refusals():
    with pytest.raises(ValueError, match="epsilon must be at least 0"):
        SetLayers(epsilon=-1)
    with pytest.raises(ValueError, match="no layer is a SETLinear"):
        Ledger(nn.Sequential(nn.Linear(2, 2))).attach(SetLayers())


@pytest.mark.parametrize("chance", [None, 1.0])
def test_preserved_connections_stay(chance):
    torch.manual_seed(0)
    net = nn.Sequential(SETLinear(16, 12, density=0.4), nn.ReLU(), nn.Linear(12, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    ledger = Ledger(net, optimizer)
    ledger.attach(frozen := Frozen(0.5, rule="random"))
    ledger.attach(SetLayers(zeta=0.9, chance=chance))
    x, y = torch.randn(8, 16), torch.randint(2, (8,))

    def task(number):
        ledger.before_task(number)
        for epoch in range(2):
            ledger.before_epoch(epoch, 2, 2)
            for _ in range(2):
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(x), y).backward()
                optimizer.step()
            ledger.after_epoch()
        ledger.after_task(number)

    def held():
        found = ledger.synapses["0.values"]
        kept = frozen.updates.scale["0.values"] == 0
        places = zip(*(ids[kept].tolist() for ids in found.places()), strict=True)
        return dict(zip(places, found.current()[kept].tolist(), strict=True))

    task(0)
    before = held()
    assert len(before) == round(0.5 * net[0].values.numel())
    task(1)
    assert before.items() <= held().items()
