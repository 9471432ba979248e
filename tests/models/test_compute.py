"""The choice between masks and computing what wins, and that nothing but the speed depends on it."""

import copy

import pytest
import torch
from torch import nn

from cl_sparse.errors import UserError
from cl_sparse.layers import CompactKWinners, WinnerLinear, Winners, update_boost_strength
from cl_sparse.models import HeadFactory, MaskedHead, MultiHead, SimpleMLP, SingleHead, activation_layers
from cl_sparse.plugins.sparsity import active_counts
from cl_sparse.run import build
from cl_sparse.synapses import LazySGD, live_synapses, synapses_of
from tests.conftest import small_benchmark, small_config

HEADS: dict[str, HeadFactory] = {
    "single": lambda n: SingleHead(n, 4),
    "multi": lambda n: MultiHead(n, 3, 4),
    "masked": lambda n: MaskedHead(n, [[0, 1], [2, 3], [4, 5]]),
}
WINNERS = {"sparsify": True, "percent_on_fc": 0.1, "weight_sparsity_fc": 1.0, "compute": "winners"}


def mlp(compute: str, head: str = "single", **changes: object) -> SimpleMLP:
    torch.manual_seed(0)
    settings = {"hidden_units": 60, "hidden_layers": 2, "sparsify": True, "percent_on_fc": 0.05, **changes}
    return SimpleMLP((2, 6), HEADS[head], compute=compute, **settings).double()


def train(net: nn.Module, optimizer: torch.optim.Optimizer) -> list[float]:
    generator = torch.Generator().manual_seed(1)
    losses = []
    for step in range(60):
        x = torch.randn(6, 2, 6, dtype=torch.float64, generator=generator)
        y = torch.randint(2, (6,), generator=generator)
        tasks = torch.randint(1 + step // 20, (6,), generator=generator)
        loss = nn.functional.cross_entropy(net(x, tasks), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 20 == 19:
            update_boost_strength(net)
    return losses


@pytest.mark.parametrize("head", sorted(HEADS))
def test_both_ways_train_the_same_net(head: str):
    rule = {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}
    reference, winners = mlp("reference", head), mlp("winners", head)
    start = copy.deepcopy(reference.state_dict())
    assert all(torch.equal(value, start[name]) for name, value in winners.state_dict().items())
    theirs = train(reference, torch.optim.SGD(reference.parameters(), **rule))
    ours = train(winners, LazySGD(winners.parameters(), **rule))
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), rtol=0, atol=1e-10)
    state = winners.state_dict()
    assert list(state) == list(reference.state_dict())
    for name, value in reference.state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=0, atol=1e-6 if "duty" in name else 1e-10, msg=name)
    fresh = mlp("reference", head)
    fresh.load_state_dict(state)
    assert live_synapses(winners) == live_synapses(reference)
    for ours_, theirs_ in zip(synapses_of(winners), synapses_of(reference), strict=True):
        torch.testing.assert_close(ours_.parameter, theirs_.parameter, rtol=0, atol=1e-10)


def test_probes_see_the_same_activities():
    counts: dict[str, list[torch.Tensor]] = {"reference": [], "winners": []}
    for compute, seen in counts.items():
        net = mlp(compute)
        assert list(activation_layers(net)) == ["features.act1", "features.act2"]
        for layer in activation_layers(net).values():
            layer.register_forward_hook(lambda _, __, output, seen=seen: seen.append(active_counts(output.detach())))
        net(torch.randn(5, 2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(a, b) for a, b in zip(*counts.values(), strict=True))


def test_dropout_acts_on_winners():
    net = mlp("winners", dropout=0.5)
    outputs: list[Winners] = []
    net.features.drop1.register_forward_hook(lambda _, __, output: outputs.append(output))
    x = torch.randn(50, 2, 6, dtype=torch.float64)
    net(x), net.eval()(x)
    assert 0.3 < (outputs[0].indices < 0).double().mean() < 0.7
    assert (outputs[1].indices >= 0).all()


@pytest.mark.parametrize(
    ("settings", "fast"),
    [
        ({"hidden_units": 2000, "percent_on_fc": 0.01}, True),
        ({"hidden_units": 2000, "percent_on_fc": 0.3}, False),
        ({"hidden_units": 60, "percent_on_fc": 0.05}, False),
        ({"hidden_units": 2000, "percent_on_fc": 0.01, "weight_sparsity_fc": 0.1}, False),
        ({"hidden_units": 2000, "sparsify": False}, False),
        ({"hidden_layers": 0}, False),
    ],
)
def test_auto_takes_the_faster_way_and_printing_shows_it(settings: dict, fast: bool):
    net = mlp("auto", **settings)
    assert ("WinnerLinear" in repr(net)) == ("computes=winners" in repr(net)) == (net.way == "winners") == fast
    assert any(isinstance(module, WinnerLinear) for module in net.modules()) == fast
    assert any(isinstance(module, CompactKWinners) for module in net.modules()) == fast


def test_auto_leaves_compiled_loops_to_the_cpu():
    wide = {"hidden_units": 2000, "percent_on_fc": 0.01}
    assert mlp("auto", **wide, device=torch.device("cpu")).way == "winners"
    assert mlp("auto", **wide, device=torch.device("cuda")).way == "reference"
    assert mlp("winners", **wide, device=torch.device("cuda")).way == "winners"


def test_winners_is_refused_where_it_cannot_be():
    for settings in ({"sparsify": False}, {"percent_on_fc": 1.0}, {"weight_sparsity_fc": 0.5}, {"hidden_layers": 0}):
        with pytest.raises(ValueError, match="compute: winners needs hidden layers"):
            mlp("winners", **settings)
        if "hidden_layers" not in settings:
            with pytest.raises(UserError, match="compute: winners needs an MLP"):
                small_config(**{**WINNERS, **settings})


def test_config_and_optimizer_choose_the_way():
    config = small_config(**WINNERS)
    benchmark = small_benchmark(config)
    model = build.build_model(config, benchmark, 0)
    assert isinstance(build.build_optimizer(config, model), LazySGD)
    wide = {"sparsify": True, "percent_on_fc": 0.01, "hidden_units": 2000}
    for changes, fast in (({}, True), ({"optimizer": "adam"}, False), ({"compute": "reference"}, False)):
        config = small_config(**wide, **changes)
        model = build.build_model(config, benchmark, 0)
        assert ("WinnerLinear" in repr(model)) == fast
        assert isinstance(build.build_optimizer(config, model), LazySGD) == fast


def test_methods_that_look_at_weights_get_dense_ones(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cl_sparse.plugins.Replay.looks_at_weights", True)
    wide = {"sparsify": True, "percent_on_fc": 0.01, "hidden_units": 2000, "strategy": "replay"}
    config = small_config(**wide)
    benchmark = small_benchmark(config)
    assert "WinnerLinear" not in repr(build.build_model(config, benchmark, 0))
    with pytest.raises(UserError, match="compute: winners does not go with Replay"):
        build.build_model(small_config(**wide, compute="winners"), benchmark, 0)
