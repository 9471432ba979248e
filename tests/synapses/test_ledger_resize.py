"""Units come and go: outputs stay as they are, and what is not known for sure is refused."""

import pytest
import torch
from torch import Tensor, nn

from cl_sparse.synapses import Ledger, density
from tests.synapses.nets import NETS, batch


@pytest.mark.parametrize("kind", ["dense", "live"])
def test_new_units_change_no_output(kind: str) -> None:
    net = NETS[kind]()
    x, _ = batch(0)
    expected = net(x)
    Ledger(net).resize("0", torch.arange(20), add=7)
    torch.testing.assert_close(net(x), expected)
    assert net[0].out_features == net[2].in_features == 27


def test_removing_dead_units_changes_no_output() -> None:
    net = NETS["conv"]().eval()
    layer = net[3]
    with torch.no_grad():
        layer.weight[1], layer.bias[1] = 0, 0
    x, _ = batch(0)
    expected = net(x)
    Ledger(net).resize("3", torch.tensor([0, 2, 3]))
    torch.testing.assert_close(net(x), expected)
    assert layer.out_channels == 3
    assert net[6].in_features == 12


def test_readers_connect_to_new_units_as_densely_as_to_old_ones() -> None:
    for kind in ("masked", "live"):
        net = NETS[kind]()
        before = density(net)
        Ledger(net).resize("0", torch.arange(20), add=20)
        assert density(net) == pytest.approx(before, abs=0.02)


def test_a_layer_whose_readers_are_unknown_is_not_resized() -> None:
    net = NETS["dense"]()
    with pytest.raises(ValueError, match="not known who reads"):
        Ledger(net).resize("2", torch.arange(5))


@pytest.mark.parametrize(("keep", "add"), [([0, 0], 0), ([-1], 0), ([0, 20], 0), ([0], -1), ([], 0)])
def test_impossible_choices_of_units_are_refused_and_change_nothing(keep: list[int], add: int) -> None:
    for kind in ("dense", "live"):
        net = NETS[kind]()
        before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        with pytest.raises(ValueError, match="keep"):
            Ledger(net).resize("0", torch.tensor(keep, dtype=torch.long), add)
        assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in before.items())


def test_units_that_come_later_are_others() -> None:
    net = NETS["dense"]()
    ledger = Ledger(net)
    ledger.resize("0", torch.arange(20), add=5)
    ledger.resize("0", torch.arange(25), add=5)
    assert not torch.equal(net[0].weight[20:25], net[0].weight[25:30])


class Slopes(nn.Module):
    """A layer that holds a number for each unit and says so."""

    per_unit = {"slope": 0.5}  # noqa: RUF012 (torch's modules type their attributes)

    def __init__(self, n: int) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.arange(float(n)))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.slope


def test_a_layer_that_says_what_it_holds_for_each_unit_is_resized_along() -> None:
    net = nn.Sequential(nn.Linear(4, 6), Slopes(6), nn.Sequential(nn.Dropout(0.1), nn.Linear(6, 2)))
    ledger = Ledger(net)
    structure = ledger.structure()
    changes = ledger.resize("0", torch.tensor([5, 1]), add=1)
    assert net[1].slope.tolist() == [5.0, 1.0, 0.5]
    assert net(torch.randn(3, 4)).shape == (3, 2)
    assert changes["0"][1].carry(torch.arange(6), -1).tolist() == [5, 1, -1]
    ledger.rebuild(structure)
    assert net[1].slope.shape == (6,)


class Opaque(nn.Module):
    """A layer nobody knows."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Residual(nn.Sequential):
    """A chain with a way past it."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + super().forward(x)
        return out


def refused() -> dict[str, nn.Sequential]:
    twice, winners, tied = nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)
    tied.weight = twice.weight
    return {
        "a way past": nn.Sequential(nn.Linear(4, 6), Residual(nn.Linear(6, 6), nn.ReLU()), nn.Linear(6, 2)),
        "a shared weight": nn.Sequential(nn.Linear(4, 6), nn.ReLU(), twice, nn.ReLU(), tied),
        "maps read by rows": nn.Sequential(nn.Conv2d(1, 6, 1), nn.ReLU(), nn.Linear(6, 2)),
        "flattened in part": nn.Sequential(nn.Conv2d(1, 6, 1), nn.Flatten(1, 2), nn.Linear(6, 2)),
        "flattened tokens": nn.Sequential(nn.Linear(4, 6), nn.Flatten(), nn.Linear(18, 2)),
        "unknown": nn.Sequential(nn.Linear(4, 6), Opaque(), nn.Linear(6, 2)),
        "layer norm": nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2)),
        "PReLU": nn.Sequential(nn.Linear(4, 6), nn.PReLU(6), nn.Linear(6, 2)),
        "Conv1d": nn.Sequential(nn.Linear(4, 6), nn.Conv1d(6, 6, 1), nn.Linear(6, 2)),
        "its reader is there twice": nn.Sequential(nn.Linear(4, 6), winners, twice, winners, twice, nn.Linear(6, 2)),
        "per unit twice": nn.Sequential(nn.Linear(4, 6), *[nn.BatchNorm1d(6)] * 2, nn.Linear(6, 2)),
        "groups": nn.Sequential(nn.Conv2d(2, 6, 1, groups=2), nn.Conv2d(6, 2, 1)),
        "reader's groups": nn.Sequential(nn.Conv2d(2, 6, 1), nn.Conv2d(6, 4, 1, groups=2)),
        "flattened normalisation": nn.Sequential(
            nn.Conv2d(2, 6, 1), nn.Flatten(), nn.BatchNorm1d(24), nn.Linear(24, 2)
        ),
        "a reader of something else": nn.Sequential(nn.Linear(4, 6), nn.Linear(8, 2)),
    }


@pytest.mark.parametrize("case", sorted(refused()))
def test_layers_whose_readers_are_not_known_for_sure_are_not_resized(case: str) -> None:
    net = refused()[case]
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(ValueError, match=r"not known|not one for each unit|no multiple|several numbers"):
        Ledger(net).resize("0", torch.arange(5))
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in before.items())


def test_units_may_be_given_as_a_list() -> None:
    net = NETS["dense"]()
    Ledger(net).resize("0", [3, 1])  # type: ignore[arg-type]  # a list will do
    assert net[0].out_features == 2
