import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
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


@given(
    units=st.integers(1, 7),
    inputs=st.integers(1, 9),
    density=st.floats(0.001, 1),
    levels=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_a_density_is_kept_exactly(units, inputs, density, levels, seed):
    generator = torch.Generator().manual_seed(seed)
    layer = HebbMask(nn.Linear(inputs, units), density=density, generator=generator)
    layer.permanence = torch.randint(levels, (units, inputs), generator=generator).float() / levels  # many are equal
    mask = layer.mask()
    assert int(mask.sum()) == max(1, round(density * units * inputs))
    assert mask.all() or layer.permanence[mask].min() >= layer.permanence[~mask].max()
    assert torch.equal(mask, layer.mask())
    layer(torch.randn(3, inputs))
    assert int(layer.mask().sum()) == int(mask.sum())


def test_equals_are_chosen_at_random_and_stay_chosen():
    def fresh(seed):
        return HebbMask(nn.Linear(40, 10), density=0.3, generator=torch.Generator().manual_seed(seed))

    layer = fresh(0)
    at_first = layer.mask()
    assert torch.equal(at_first, fresh(0).mask())
    other = fresh(1)
    assert not torch.equal(at_first, other.mask())
    per_unit = at_first.sum(1)
    assert per_unit.max() < 25  # the first 120 of 400 would be units 0 to 2, 40 each
    assert per_unit.min() > 3
    torch.manual_seed(3)
    drawn = HebbMask(nn.Linear(40, 10), density=0.3)
    assert not torch.equal(drawn.mask(), at_first)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.mask(), at_first)
    assert torch.equal(copy.deepcopy(layer).mask(), at_first)


def test_half_precision_moves_it_in_full():
    torch.manual_seed(0)
    layer = HebbMask(nn.Linear(6, 5), lr=0.3)
    twin, x = copy.deepcopy(layer), torch.randn(8, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    twin.after_pass(x, y.detach())
    assert torch.equal(layer.permanence, twin.permanence)


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
        (lambda: HebbMask(nn.Linear(2, 2), density=1.5), ValueError, "density must be above 0 and at most 1"),
    ],
)
def test_what_cannot_be_masked_is_refused(make, error, said):
    with pytest.raises(error, match=said):
        make()
