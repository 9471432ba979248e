"""Masks over layers in an experiment and in a loop of one's own: what is masked, recorded, saved and refused."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from cl_sparse.layers import HebbMask, LayerMask, MagnitudeMask, RandomMask
from cl_sparse.synapses import Frozen, HebbMasks, Ledger, live_synapses
from tests.synapses.nets import HIDDEN, N_IN, N_OUT, NETS, OPTIMIZERS, train_step

ONE_TASK = {"num_batch": 1, "scenario": "class", "hidden_units": 20, "dropout": 0.0}


def masks(net):
    return {name: module for name, module in net.named_modules() if isinstance(module, LayerMask)}


def trained(rule, optimizer="sgd", steps=5, **arguments):
    torch.manual_seed(0)
    net = HebbMasks(rule, layers=["0", "2"], **arguments).wrap(NETS["dense"](), 1)
    ledger = Ledger(net, OPTIMIZERS[optimizer](net))
    ledger.attach(HebbMasks(rule, **arguments), "masks")
    ledger.before_task(0)
    for step in range(steps):
        train_step(net, ledger.optimizer, step, ledger)
    ledger.after_epoch()
    return net, ledger


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam"])
@pytest.mark.parametrize("rule", ["product", "contribution", "sign", "magnitude", "random"])
def test_every_rule_keeps_its_density_with_every_optimizer(rule, optimizer):
    net, ledger = trained(rule, optimizer, density=0.3)
    shares = ledger.mechanisms["masks"].statistics()
    kept = round(0.3 * HIDDEN * N_IN), round(0.3 * HIDDEN * N_OUT)
    assert [int(mask.mask().sum()) for mask in masks(net).values()] == list(kept)
    np.testing.assert_allclose(shares["live"]["0"], [kept[0] / (HIDDEN * N_IN)])
    np.testing.assert_allclose(shares["live_share"], [sum(kept) / (HIDDEN * (N_IN + N_OUT))])
    assert live_synapses(net) == HIDDEN * (N_IN + N_OUT)


@pytest.mark.parametrize("rule", ["product", "magnitude", "random"])
def test_it_goes_on_where_it_was(rule):
    net, ledger = trained(rule, "adam", density=0.3, lr=3)
    torch.manual_seed(9)
    arguments = {"rule": rule, "density": 0.3, "lr": 3}
    other = HebbMasks(**arguments, layers=["0", "2"]).wrap(NETS["dense"](), 1)
    again = Ledger(other, OPTIMIZERS["adam"](other))
    again.attach(HebbMasks(**arguments), "masks")
    other.load_state_dict(copy.deepcopy(net.state_dict()))
    again.optimizer.load_state_dict(copy.deepcopy(ledger.optimizer.state_dict()))
    again.load_state_dict(copy.deepcopy(ledger.state_dict()))
    for own in (ledger, again):
        train_step(own.model, own.optimizer, 7, own)
        own.after_epoch()
    for one, two in zip(net.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(one, two)
    first, second = (own.mechanisms["masks"].statistics()["live_share"] for own in (ledger, again))
    assert len(first) == 2
    np.testing.assert_array_equal(first, second)
    with pytest.raises(ValueError, match=r"are of the layers \['1'\], not of \['0', '2'\]"):
        ledger.mechanisms["masks"].load_state_dict({"shares": [{"1": 0.5}]})


def test_tests_and_importances_move_no_mask(make_run, tmp_path):
    plugin = {"name": "hebb_mask", "lr": 3.0, "rule": "sign", "centred": True}
    frozen = {"name": "frozen", "rule": "random", "share": 0.1}
    run = make_run(**ONE_TASK, train_ep=3, plugins=[plugin, frozen, {"name": "per_epoch"}])
    (mask,) = masks(run.learner.model).values()
    assert isinstance(mask, HebbMask)
    stats = run.run(tmp_path / "c.pt")
    found = stats["mechanisms"]["hebb_mask"]
    assert found["live"].keys() == {"classifier.linear"}
    assert found["live_share"].shape == (3,)
    assert 0 < found["live_share"][-1] < 1
    assert mask.live_share() == found["live_share"][-1]
    assert stats["per_epoch"]["test_accuracy"][-1] == stats["accs"][0, 0]


def test_a_product_that_is_summed_moves_by_the_size_of_the_batch():
    torch.manual_seed(0)
    mean, total = (HebbMasks(lr=lr, reduce=how).make(nn.Linear(4, 3)) for lr, how in ((0.8, "mean"), (0.1, "sum")))
    total.load_state_dict(mean.state_dict())
    x = torch.randn(8, 4)
    mean(x), total(x)
    torch.testing.assert_close(mean.permanence, total.permanence)


def test_which_layers():
    heads = [name for name, _ in _net_with_heads().named_modules() if name.startswith("classifier.")]
    assert list(masks(HebbMasks().wrap(_net_with_heads(), 2))) == heads
    net = NETS["conv"]()
    assert list(masks(HebbMasks("random", density=0.2).wrap(net, 1))) == ["6"]
    assert isinstance(net[6], RandomMask)
    net = NETS["conv"]()
    masked = masks(HebbMasks("magnitude", density=0.2, layers=["3", "6"]).wrap(net, 1))
    assert {name: type(mask) for name, mask in masked.items()} == {"3": MagnitudeMask, "6": MagnitudeMask}
    train_step(net, OPTIMIZERS["sgd"](net), 0)


def _net_with_heads():
    net = nn.Module()
    net.features, net.classifier = nn.Linear(3, 2), nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    return net


def test_masks_go_with_what_freezes_and_with_a_mask_for_each_task(make_run, tmp_path):
    torch.manual_seed(0)
    net = HebbMasks(density=0.5).wrap(NETS["dense"](), 1)
    ledger = Ledger(net, OPTIMIZERS["nesterov"](net))
    ledger.attach(HebbMasks(density=0.5), "masks")
    ledger.attach(Frozen(0.5))
    ledger.before_task(0)
    train_step(net, ledger.optimizer, 0, ledger)
    ledger.after_task(0)
    before = net[2].module.weight.detach().clone()
    train_step(net, ledger.optimizer, 1, ledger)
    assert int((net[2].module.weight == before).sum()) >= HIDDEN * N_OUT // 2
    for method in ("winning_subnetworks", "hard_attention", "packed"):
        plugins = [{"name": "hebb_mask", "rule": "magnitude", "density": 0.5}, {"name": method}]
        stats = make_run(num_batch=2, hidden_units=20, plugins=plugins, train_ep=1).run(tmp_path / f"{method}.pt")
        assert np.nanmin(stats["accs"][-1]) > 0.2


def test_making_one_draws_nothing():
    torch.manual_seed(0)
    HebbMasks("random", density=0.5)
    drawn = torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(3))


def test_refusals():
    with pytest.raises(ValueError, match="rule magnitude needs a density"):
        HebbMasks("magnitude")
    with pytest.raises(ValueError, match="density must be above 0 and at most 1, not 2"):
        HebbMasks("random", density=2)
    with pytest.raises(ValueError, match="rule must be product"):
        HebbMasks("hebb")
    with pytest.raises(ValueError, match="there is no layer '5'"):
        HebbMasks(layers=["5"]).wrap(NETS["dense"](), 1)
    with pytest.raises(ValueError, match="there is no layer ''"):
        HebbMasks(layers=[""]).wrap(nn.Linear(2, 2), 1)
    with pytest.raises(ValueError, match="1 is a ReLU: what can be masked is a dense Linear or Conv2d"):
        HebbMasks(layers=["1"]).wrap(NETS["dense"](), 1)
    with pytest.raises(ValueError, match="2 stores its live synapses only"):
        HebbMasks().wrap(NETS["live"](), 1)
    with pytest.raises(ValueError, match="2 is a ActiveLinear"):
        HebbMasks().wrap(NETS["winner"](), 1)
    with pytest.raises(ValueError, match="3 is a SparseWeights"):
        HebbMasks().wrap(NETS["masked"](), 1)
    with pytest.raises(ValueError, match="no layer has a mask"):
        Ledger(NETS["dense"]()).attach(HebbMasks())
