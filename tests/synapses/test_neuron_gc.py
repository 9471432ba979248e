"""Dead units go with all that is theirs, and nobody notices: outputs, optimizer steps, kept numbers, duty cycles."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from cl_sparse.layers import KWinners, KWinners2d, SparseLinear, SparseWeights, SparseWeights2d, Sparsifier, SwitchLayer
from cl_sparse.models import MultiHead, SimpleCNN, SimpleMLP
from cl_sparse.synapses import Ledger, NeuronGC
from cl_sparse.synapses.neuron_gc import dead_units

N_IN, N_OUT = 12, 5

NETS: dict[str, Callable[[], nn.Sequential]] = {
    "linear": lambda: nn.Sequential(
        nn.Linear(N_IN, 9), Sparsifier(9), nn.ReLU(), nn.Linear(9, 7), Sparsifier(7), nn.Tanh(), nn.Linear(7, N_OUT)
    ),
    "masked": lambda: nn.Sequential(
        SparseWeights(nn.Linear(N_IN, 9), sparsity=0.5),
        nn.BatchNorm1d(9),
        Sparsifier(9),
        nn.ReLU(),
        nn.Dropout(0.5),
        SparseWeights(nn.Linear(9, N_OUT), sparsity=0.3),
    ),
    "live": lambda: nn.Sequential(
        SparseLinear(N_IN, 9, density=0.5), Sparsifier(9), nn.ReLU(), SparseLinear(9, N_OUT, density=0.5)
    ),
    "conv": lambda: nn.Sequential(
        nn.Unflatten(1, (3, 2, 2)),
        nn.Conv2d(3, 6, 2, padding=1),
        nn.BatchNorm2d(6),
        Sparsifier(6),
        nn.ReLU(),
        SparseWeights2d(nn.Conv2d(6, 4, 2), sparsity=0.3),
        Sparsifier(4),
        nn.ReLU(),
        nn.MaxPool2d(2, stride=1),
        nn.Flatten(),
        nn.Linear(4, N_OUT),
    ),
}
OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda net: torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9),
    "adam": lambda net: torch.optim.Adam(net.parameters(), lr=0.01),
}


def inputs(seed: int) -> Tensor:
    return torch.randn(16, N_IN, generator=torch.Generator().manual_seed(seed)).double()


def step(net: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    y = torch.randint(N_OUT, (16,), generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(inputs(seed)), y).backward()
    optimizer.step()


def sparsifiers(net: nn.Module) -> list[Sparsifier]:
    return [module for module in net.modules() if isinstance(module, Sparsifier)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", NETS)
@given(seed=st.integers(0, 10**6), share=st.floats(0, 1))
def test_outputs_and_training_go_on_as_if_nothing_had_been_removed(
    kind: str, optimizer: str, seed: int, share: float
) -> None:
    torch.manual_seed(seed)
    net = NETS[kind]().double()
    made = OPTIMIZERS[optimizer](net)
    ledger = Ledger(net, made)
    numbers = ledger.keep("test", "numbers", fresh=7.0)
    gc = NeuronGC()
    ledger.attach(gc)
    for n in range(2):
        step(net, made, n)
    for name, kept in numbers.items():
        kept.copy_(ledger.parameters()[name])
    for own in sparsifiers(net):
        dead = torch.rand(own.n) < share
        own.filter.data[dead] = -own.filter.data[dead].abs()
    for name, kept in numbers.items():
        kept.copy_(ledger.parameters()[name])
    alive = [max(1, int((~own.dead()).sum())) for own in sparsifiers(net)]
    net.eval()
    before = net(inputs(9))
    count = sum(p.numel() for p in net.parameters())
    removed = gc.collect()
    torch.testing.assert_close(net(inputs(9)), before, rtol=1e-11, atol=1e-12)
    assert [own.n for own in sparsifiers(net)] == alive
    assert (sum(removed.values()) > 0) == (sum(p.numel() for p in net.parameters()) < count)
    for name, parameter in ledger.parameters().items():
        assert torch.equal(numbers[name], parameter)
        for kept in made.state[parameter].values():
            assert not kept.dim() or kept.shape == parameter.shape
    assert not any(gc.collect().values())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_goes_on_as_with_the_dead_units(optimizer: str) -> None:
    def trained(collect: bool) -> nn.Module:
        torch.manual_seed(0)
        net = NETS["linear"]().double()
        made = OPTIMIZERS[optimizer](net)
        ledger = Ledger(net, made)
        gc = NeuronGC()
        ledger.attach(gc)
        step(net, made, 0)
        net[1].filter.data[::2] = -1e3
        made.state[net[1].filter] = {}
        if collect:
            assert gc.collect() == {"0": 5, "3": 0}
        for n in range(1, 6):
            step(net, made, n)
        return net

    torch.testing.assert_close(trained(True)(inputs(1)), trained(False)(inputs(1)), rtol=1e-9, atol=1e-12)


def test_duty_cycles_and_switches_follow_and_the_share_of_winners_stays() -> None:
    net = nn.Sequential(
        nn.Unflatten(1, (3, 2, 2)),
        nn.Conv2d(3, 10, 2, padding=1),
        SwitchLayer(10, start="one"),
        KWinners2d(10, 0.4),
        nn.Flatten(),
        nn.Linear(90, 20),
        SwitchLayer(20, start="one"),
        KWinners(20, 0.2),
        nn.Linear(20, N_OUT),
    )
    ledger = Ledger(net)
    gc = NeuronGC()
    ledger.attach(gc)
    duty = torch.rand(20)
    net[7].duty_cycle.copy_(duty)
    net[3].duty_cycle.copy_(torch.arange(10.0).view(1, -1, 1, 1))
    net[2].killed[[1, 4]] = True
    net[6].killed[10:] = True
    net[6].sign_variance.copy_(duty)
    assert gc.collect() == {"1": 2, "5": 10}
    assert torch.equal(net[7].duty_cycle, duty[:10])
    assert torch.equal(net[6].sign_variance, duty[:10])
    assert net[3].duty_cycle.flatten().tolist() == [0, 2, 3, 5, 6, 7, 8, 9]
    assert (net[7].n, net[7].k) == (10, 2)
    assert net[5].weight.shape == (10, 8 * 9)
    assert net(torch.randn(4, N_IN)).shape == (4, N_OUT)


def test_what_is_not_nothing_behind_the_filter_stays() -> None:
    sigmoid = nn.Sequential(nn.Linear(3, 4), Sparsifier(4), nn.Sigmoid(), nn.Linear(4, 2))
    sigmoid[1].filter.data[:2] = -1
    assert not dead_units(Ledger(sigmoid))["0"].any()
    late = nn.Sequential(nn.Linear(3, 4), Sparsifier(4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    late[1].filter.data[:3] = -1
    late[2].running_mean.copy_(torch.tensor([1.0, -1.0, 0.0, 0.0]))  # 0 becomes -1, 1 and 0; ReLU makes 0, 1 and 0
    assert dead_units(Ledger(late))["0"].tolist() == [True, False, True, False]
    of_batch = nn.BatchNorm1d(4, track_running_stats=False)  # 0 throughout a batch becomes the bias
    of_batch.bias.data.copy_(torch.tensor([1.0, -1.0, 0.0, 0.0]))
    late = nn.Sequential(nn.Linear(3, 4), Sparsifier(4), of_batch, nn.ReLU(), nn.Linear(4, 2))
    late[1].filter.data[:3] = -1
    assert dead_units(Ledger(late))["0"].tolist() == [False, True, True, False]
    gate = nn.Sequential(nn.Linear(3, 4), Sparsifier(4), Own(), nn.Linear(4, 2))
    gate[1].filter.data[:3] = -1
    assert not dead_units(Ledger(gate))["0"].any()


class Own(nn.Module):
    """A module of a user's, of which nobody knows what it makes of 0."""

    per_unit = {}  # noqa: RUF012 (as the documents show it)

    def forward(self, x: Tensor) -> Tensor:
        return x + 1


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_the_models_of_the_suite_shrink(kind: str) -> None:
    from cl_sparse.synapses import SparsifiedUnits

    torch.manual_seed(0)

    def head(n: int) -> MultiHead:
        return MultiHead(n, 2, 3)

    if kind == "mlp":
        net: nn.Module = SimpleMLP((10,), head, hidden_units=20, hidden_layers=2)
    else:
        net = SimpleCNN((1, 10, 10), head, hidden_units=12)
    sizes = SparsifiedUnits()
    assert sizes.wrap(net, 2) is net
    net.double().eval()
    ledger = Ledger(net, torch.optim.SGD(net.parameters(), lr=0.1))
    ledger.attach(sizes)
    gc = NeuronGC()
    ledger.attach(gc)
    for own in sparsifiers(net):
        own.filter.data[torch.rand(own.n) < 0.7] = 0
    x = torch.randn(6, *((10,) if kind == "mlp" else (1, 10, 10))).double()
    tasks = torch.tensor([0, 1, 0, 1, 0, 1])
    before = net(x, tasks)
    assert all(gc.collect().values())
    torch.testing.assert_close(net(x, tasks), before, rtol=1e-11, atol=1e-12)
    assert net.classifier.heads[0].weight.shape[1] == sparsifiers(net)[-1].n


def test_what_cannot_be_is_one_line() -> None:
    with pytest.raises(ValueError, match="every must be epoch or task"):
        NeuronGC(every="step")
    with pytest.raises(ValueError, match="no layer has a filter"):
        Ledger(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))).attach(NeuronGC())
