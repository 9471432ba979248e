"""Patterns of what is left alone: each has to match something, in every mechanism that takes them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from cl_sparse.models import SimpleMLP, SingleHead
from cl_sparse.synapses import Frozen, GradientProjection, KroneckerLaplace, Ledger, OrthogonalWeights
from cl_sparse.synapses.leaving import left_alone
from cl_sparse.synapses.packed import PackedNet
from cl_sparse.synapses.subnetworks import ChosenNet

NAMES = ["features.fc1", "features.fc2", "classifier"]


def a_net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def test_what_any_pattern_matches_is_left() -> None:
    assert left_alone(NAMES, ["*.fc2", "class*"]) == {"features.fc2", "classifier"}
    assert left_alone(NAMES, []) == set()


@pytest.mark.parametrize(("leave", "near"), [(["classifer"], "classifier"), (["classifier", "fc1"], "features.fc1")])
def test_a_pattern_that_matches_nothing_is_named(leave: list[str], near: str) -> None:
    with pytest.raises(ValueError, match=f"leave: nothing is called '{leave[-1]}', did you mean .*{near}"):
        left_alone(NAMES, leave)


@pytest.mark.parametrize("kind", [Frozen, GradientProjection, KroneckerLaplace, OrthogonalWeights])
def test_mechanisms_say_so(kind: Any) -> None:
    net = a_net()
    ledger = Ledger(net, torch.optim.SGD(net.parameters(), lr=0.1))
    with pytest.raises(ValueError, match="leave: nothing is called 'classifier"):
        ledger.attach(kind(leave=["classifier*"]))


@pytest.mark.parametrize(
    "wrap", [lambda net: PackedNet(net, 2, ("fc1*",)), lambda net: ChosenNet(net, 2, 0.5, ("fc1*",))]
)
def test_nets_in_parts_say_so(wrap: Callable[[nn.Module], nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"leave: nothing is called 'fc1\*', choose one of: features\.fc1"):
        wrap(SimpleMLP((4,), lambda n: SingleHead(n, 2), hidden_units=3))
