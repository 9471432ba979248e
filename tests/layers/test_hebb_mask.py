import copy

import pytest
import torch
from torch import nn

from cl_sparse.layers import HebbMask


def slow(rule, weight, x, y, reduce, centred):
    """One weight after another; rows of x are what the weights of a unit meet, rows of y the units' outputs."""
    if centred:
        x, y = x - x.mean(0), y - y.mean(0)
    moved = torch.zeros_like(weight)
    for unit in range(weight.shape[0]):
        for source in range(weight.shape[1]):
            for sample in range(len(x)):
                w, a, b = float(weight[unit, source]), float(x[sample, source]), float(y[sample, unit])
                value = {"product": w * a * b, "contribution": w * a * b, "sign": a * b}[rule]
                moved[unit, source] += value if rule == "product" else (value > 0) - (value < 0)
    return moved / len(x) if reduce == "mean" else moved


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize("rule", ["product", "contribution", "sign"])
def test_the_permanence_moves_by_the_rule(rule, reduce, centred):
    torch.manual_seed(0)
    layer = HebbMask(nn.Linear(5, 4), ["weight"], lr=0.3, rule=rule, reduce=reduce, centred=centred)
    layer.permanence.uniform_(-0.5, 0.5)
    before, x = layer.permanence.clone(), torch.randn(6, 5)
    weight = layer.module.weight.detach()
    y = layer(x)
    torch.testing.assert_close(y, x @ (weight * (before > 0)).T + layer.module.bias)
    expected = (before + 0.3 * slow(rule, weight, x, y.detach(), reduce, centred)).clamp(-1, 1)
    torch.testing.assert_close(layer.permanence, expected, rtol=1e-4, atol=1e-6)


def test_convolutions_are_masked_too():
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 3, 3, stride=2, padding=1)
    layer = HebbMask(copy.deepcopy(conv), lr=0.2, rule="product")
    x = torch.randn(4, 2, 6, 6)
    y = layer(x)
    torch.testing.assert_close(y, conv(x))
    patches = nn.functional.unfold(x, 3, padding=1, stride=2).transpose(1, 2).flatten(0, 1)
    rows = y.detach().flatten(2).transpose(1, 2).flatten(0, 1)
    moved = slow("product", conv.weight.detach().flatten(1), patches, rows, "mean", False).view_as(conv.weight)
    torch.testing.assert_close(layer.permanence, (1 + 0.2 * moved).clamp(-1, 1), rtol=1e-4, atol=1e-6)


def test_masked_weights_rest_and_may_return():
    torch.manual_seed(0)
    layer = HebbMask(nn.Linear(3, 2, bias=False), lr=0.5, rule="sign")
    layer.permanence[0, 0] = -0.2
    original = layer.module.weight
    optimizer = torch.optim.SGD([original], lr=0.1)
    x = torch.ones(4, 3)
    layer(x).sum().backward()
    assert original.grad[0, 0] == 0
    assert (original.grad.flatten()[1:] != 0).all()
    held = original.detach().clone()
    optimizer.step()
    assert original[0, 0] == held[0, 0]
    with torch.no_grad():
        original.fill_(1.0)
    for _ in range(3):
        layer(x)  # all fire together
    assert layer.mask().all()
    assert layer.permanence.max() == 1


def test_evaluation_moves_nothing_and_the_mask_can_be_made_permanent():
    torch.manual_seed(0)
    layer = HebbMask(nn.Linear(6, 5), lr=0.5, rule="sign")
    x = torch.randn(8, 6)
    for _ in range(3):
        layer(x)
    assert 0 < int(layer.mask().sum()) < 30
    layer.eval()
    before = layer.permanence.clone()
    y = layer(x)
    assert torch.equal(layer.permanence, before)
    twin = HebbMask(nn.Linear(6, 5), lr=0.5)
    twin.load_state_dict(layer.state_dict())
    copied = copy.deepcopy(layer)
    assert torch.equal(twin.eval()(x), y)
    assert torch.equal(copied(x), y)
    plain = layer.remove()
    assert type(plain) is nn.Linear
    assert isinstance(plain.weight, nn.Parameter)
    assert torch.equal(plain(x), y)
    assert torch.equal(copied(x), y)


def test_a_density_is_kept_exactly():
    torch.manual_seed(0)
    layer = HebbMask(nn.Linear(10, 10), lr=0.1, density=0.3)
    for _ in range(4):
        layer(torch.randn(5, 10))
        assert int(layer.mask().sum()) == 30
        assert layer.permanence[layer.mask()].min() >= layer.permanence[~layer.mask()].max()


def test_a_net_learns_with_it():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 30), nn.ReLU(), HebbMask(nn.Linear(30, 2), lr=0.2, rule="contribution"))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x = torch.randn(200, 8)
    y = (x[:, 0] > 0).long()
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    assert (net.eval()(x).argmax(1) == y).float().mean() > 0.9
    assert not net[2].mask().all()


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: HebbMask(nn.ReLU()), TypeError, "masks a Linear or a Conv2d, not a ReLU"),
        (lambda: HebbMask(nn.Linear(2, 2), ["bias"]), ValueError, r"\['bias'\]: what can be masked is \['weight'\]"),
        (lambda: HebbMask(nn.Conv2d(2, 2, 1, groups=2)), ValueError, "in groups"),
        (lambda: HebbMask(nn.Linear(2, 2), rule="hebb"), ValueError, "rule must be product, contribution or sign"),
        (lambda: HebbMask(nn.Linear(2, 2), density=1.5), ValueError, "density above 0 and at most 1"),
    ],
)
def test_what_cannot_be_masked_is_refused(make, error, said):
    with pytest.raises(error, match=said):
        make()
