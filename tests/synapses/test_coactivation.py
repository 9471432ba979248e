"""Coactivations: of which passes, layers and places they are counted."""

import copy

import pytest
import torch
from torch import nn

from cl_sparse.layers import rezero_weights
from cl_sparse.synapses import DynamicConnectivity
from tests.synapses.sparse_loop import Training


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("average", [None, 0.25])
def test_coactivations_are_counted_in_training_only(binary, average):
    mechanism = DynamicConnectivity({"coactivation": 0.0}, "cosine", binary=binary, moving_average=average)
    training = Training(mechanism, optimizer="sgd")
    net, watching = training.net, training.mechanism.sight.watching
    training.ledger.before_task(0)
    slow = {name: torch.zeros_like(count) for name, count in watching.both.items()}
    for x, y in zip(training.x, training.y, strict=True):
        training.optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        with torch.no_grad():
            duty = copy.deepcopy(net)
            h1 = duty[1](duty[0](x))  # boosting is off: the winners are the same
            h2 = duty[3](duty[2](h1))
            inputs, outputs = {"0.module": x, "2.module": h1}, {"0.module": h1, "2.module": h2}
        for name in slow:
            slow[name] *= 1 if average is None else 1 - average
            for sample in range(20):
                for unit, of_unit in enumerate(outputs[name][sample].tolist()):
                    for source, of_input in enumerate(inputs[name][sample].tolist()):
                        both = float(of_unit > 0 and of_input > 0) if binary else of_unit * of_input
                        slow[name][unit, source] += both * (average or 1)
        training.optimizer.step()
        rezero_weights(net)
        net.eval()
        net(x)
        net.train()
        with torch.no_grad():
            net(x)
    for name, count in watching.both.items():
        torch.testing.assert_close(count, slow[name])
    if binary and average is None:
        assert torch.equal(watching.inputs["0.module"], (training.x > 0).flatten(0, 1).float().sum(0))


def test_coactivations_of_convolutions_are_of_every_place():
    training = Training(DynamicConnectivity({"coactivation": 0.0}, "cosine"), conv=True)
    watching = training.mechanism.sight.watching
    training.ledger.before_task(0)
    slow, units = torch.zeros(4, 4), torch.zeros(4)
    x = training.x[0]
    with torch.no_grad():
        on = training.net[0](x) > 0
    for sample in range(20):
        for i in range(2):
            for j in range(2):
                patch = (x[sample, 0, i : i + 2, j : j + 2] > 0).flatten().float()
                slow += torch.outer(on[sample, :, i, j].float(), patch)
                units += on[sample, :, i, j]
    nn.functional.cross_entropy(training.net(x), training.y[0]).backward()
    training.optimizer.step()
    assert torch.equal(watching.both["0.module"], slow)
    assert torch.equal(watching.units["0.module"], units)


def test_every_pass_of_a_step_counts():
    whole, parts = (Training(DynamicConnectivity({"coactivation": 0.0}, "cosine")) for _ in range(2))
    for training, size in ((whole, 20), (parts, 5)):
        training.ledger.before_task(0)
        for x, y in zip(training.x[0].split(size), training.y[0].split(size), strict=True):
            nn.functional.cross_entropy(training.net(x), y).backward()
        training.optimizer.step()
    one, other = whole.mechanism.sight.watching.state_dict(), parts.mechanism.sight.watching.state_dict()
    for kind in ("both", "units", "inputs"):
        assert all(torch.equal(count, other[kind][name]) for name, count in one[kind].items())
    assert one["both"]["0.module"].any()


def test_layers_that_were_replaced_are_met_anew():
    training = Training(DynamicConnectivity({"coactivation": 0.5}))
    training.task(0)
    wider = nn.Linear(6, 5)  # as Avalanche's IncrementalClassifier gains outputs
    training.net[4] = wider
    training.net[3] = nn.Hardtanh(1.0, 2.0)  # whose units are all above 0, as only their reader tells
    training.ledger.before_task(1)
    logits = training.net(training.x[0])
    with torch.no_grad():
        of_inputs = (training.net[:2](training.x[0]) > 0).float().sum(0)
    logits.sum().backward()
    training.optimizer.step()
    assert torch.equal(training.mechanism.sight.watching.both["2.module"], of_inputs.expand(6, -1))


def test_dense_layers_are_not_counted():
    training = Training(DynamicConnectivity({"coactivation": 0.5}))
    assert list(training.mechanism.sight.watching.both) == ["0.module", "2.module"]


@pytest.mark.parametrize("reset", [True, False])
def test_coactivations_may_begin_anew(reset):
    training = Training(DynamicConnectivity({"coactivation": 0.2}, "cosine", reset=reset))
    training.task(0)
    seen = 20 if reset else 80  # the last of four epochs' passes, or all
    assert int(training.mechanism.sight.watching.inputs["0.module"].max()) <= seen * 4
    training.ledger.before_task(1)
    assert bool(training.mechanism.sight.watching.both["0.module"].any()) is not reset
