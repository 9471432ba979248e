"""Ablation importance, against the loss with outgoing weights cut."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cl_sparse.layers.consumers import Consumers
from cl_sparse.models import SimpleCNN, SimpleMLP, SingleHead
from cl_sparse.synapses import BlockGrowth, Ledger, ablation_importance
from tests.synapses.filtered_nets import N_IN, data, net_of


@pytest.mark.parametrize("kind", ["mlp", "masked", "live", "cnn", "winners"])
def test_ablation_is_the_rise_of_the_loss_with_outgoing_weights_cut(kind: str) -> None:
    torch.manual_seed(0)
    if kind == "cnn":
        net: nn.Module = SimpleCNN((1, 9, 9), lambda n: SingleHead(n, 3), hidden_units=6)
        x = torch.randn(5, 1, 9, 9)
    else:
        live = {"weight_sparsity_fc": 0.6, "weights": "sparse" if kind == "live" else "masked"}
        more = {"mlp": None, "masked": live, "live": live, "winners": {"compute": "winners"}}[kind]
        sparse = {} if more is None else {"sparsify": True, "percent_on_fc": 0.3, **more}
        net = SimpleMLP((N_IN,), lambda n: SingleHead(n, 3), hidden_units=10, hidden_layers=2, **sparse)
        x = torch.randn(5, N_IN)
    y = torch.tensor([0, 1, 2, 0, 1])
    net.train()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    found = ablation_importance(net, [(x[:3], y[:3]), (x[3:], y[3:])], samples=4)
    assert net.training
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    net.eval()
    for module in net.modules():
        if hasattr(module, "observed"):
            module.observed = True
    for layer, own in net.consumers().items():
        reader = net.get_submodule(own.readers[0])
        weight = (reader.values if kind == "live" else reader.weight).detach()
        units = len(found[layer])
        if kind == "live":
            of_unit = [(reader.indices[1] == unit) for unit in range(units)]
        else:
            block = weight.shape[1] // units
            columns = torch.arange(weight.shape[1]) // block
            of_unit = [columns == unit for unit in range(units)]
        for unit in range(min(units, 7)):
            kept = weight.clone()
            with torch.no_grad():
                whole = cross_entropy(net(x[:4]), y[:4])
                weight[(..., of_unit[unit]) if kind == "live" else (slice(None), of_unit[unit])] = 0
                without = cross_entropy(net(x[:4]), y[:4])
                weight.copy_(kept)
            assert float(found[layer][unit]) == pytest.approx(float(without - whole), abs=1e-5)


@pytest.mark.parametrize("shape", [(32,), (32, 1)])
def test_what_is_measured_by_classes_is_refused_for_numbers(shape: tuple[int, ...]) -> None:
    net = nn.Sequential(nn.Linear(N_IN, 6), nn.ReLU(), nn.Linear(6, 1))
    numbers = [(torch.randn(32, N_IN), torch.randn(shape))]
    with pytest.raises(ValueError, match="cross-entropy needs classes as targets, not numbers"):
        ablation_importance(net, numbers)
    growth = BlockGrowth(patience=1)
    growth.wrap(net, 1)
    ledger = Ledger(net)
    ledger.attach(growth)
    ledger.before_task(0, numbers, numbers)
    with pytest.raises(ValueError, match="cross-entropy needs classes as targets, not numbers"):
        ledger.before_epoch(1, 5, 1)

    def square(out: Tensor, y: Tensor) -> Tensor:
        return (out[:, 0] - y.flatten()).square().mean()

    assert ablation_importance(net, numbers, loss=square)["0"].abs().sum() > 0


def test_ablation_meets_the_heads_of_mixed_tasks_and_layers_called_twice() -> None:
    net = net_of()
    x, y, _ = data(0)
    labels = torch.arange(32) % 2
    net.eval()
    found = ablation_importance(net, [(x, y, labels)])
    for layer, own in net.consumers().items():
        for unit in range(20):
            weights = [net.get_submodule(name).weight.detach() for name in own.readers]
            kept = [weight[:, unit].clone() for weight in weights]
            with torch.no_grad():
                whole = cross_entropy(net(x, labels), y)
                for weight in weights:
                    weight[:, unit] = 0
                without = cross_entropy(net(x, labels), y)
                for weight, column in zip(weights, kept, strict=True):
                    weight[:, unit] = column
            assert float(found[layer][unit]) == pytest.approx(float(without - whole), abs=1e-6)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4))

        def consumers(self) -> dict[str, Consumers]:
            return {"net.0": Consumers((), ("net.2",))}

        def forward(self, x: Tensor) -> Tensor:
            return self.net(self.net(x))

    twice = Twice()
    x, y = torch.randn(8, 4), torch.randint(4, (8,))
    rises = ablation_importance(twice, [(x, y)])["net.0"]
    for unit in range(6):
        with torch.no_grad():
            whole, kept = cross_entropy(twice(x), y), twice.net[2].weight[:, unit].clone()
            twice.net[2].weight[:, unit] = 0
            assert float(rises[unit]) == pytest.approx(float(cross_entropy(twice(x), y) - whole), abs=1e-6)
            twice.net[2].weight[:, unit] = kept
    assert not any("forward" in vars(module) for module in twice.modules())
