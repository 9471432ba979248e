"""The wide residual network: against the paper's formula, its size, and what may be removed and added."""

import pytest
import torch
from torch import nn

from cl_sparse.layers import HebbMask
from cl_sparse.models import SingleHead, WideResNet, activation_layers
from cl_sparse.models.wide_resnet import PreActivationBlock
from cl_sparse.synapses import HebbMasks, Ledger, total_parameters


def small(**arguments):
    return WideResNet((3, 8, 8), lambda n: SingleHead(n, 5), **{"blocks": 1, **arguments})


@pytest.mark.parametrize(("channels", "stride"), [((4, 4), 1), ((4, 6), 1), ((4, 4), 2), ((4, 6), 2)])
def test_a_block_is_the_paper_s(channels, stride):
    torch.manual_seed(0)
    block = PreActivationBlock(*channels, stride)
    x = torch.randn(3, channels[0], 7, 8)

    def norm(maps, own):
        mean, var = maps.mean((0, 2, 3), keepdim=True), maps.var((0, 2, 3), unbiased=False, keepdim=True)
        return (maps - mean) / (var + own.eps).sqrt()

    active = norm(x, block.norm1).relu()
    convolved = nn.functional.conv2d(active, block.body.conv1.weight, stride=stride, padding=1)
    convolved = nn.functional.conv2d(norm(convolved, block.body.norm2).relu(), block.body.conv2.weight, padding=1)
    straight = x if channels == (4, 4) and stride == 1 else active[:, :, ::stride, ::stride]
    if block.shortcut is not None:
        straight = torch.einsum("oc,bchw->bohw", block.shortcut.weight[:, :, 0, 0], straight)
    torch.testing.assert_close(block(x), straight + convolved, rtol=1e-4, atol=1e-5)


def test_it_has_the_published_number_of_parameters():
    net = WideResNet((3, 32, 32), lambda n: SingleHead(n, 10), blocks=2, widen_factor=4)
    assert round(total_parameters(net) / 1e6, 2) == 2.75  # 2.8 million: WRN-16-4
    net = WideResNet((3, 32, 32), lambda n: SingleHead(n, 10), blocks=6, widen_factor=1)
    assert round(total_parameters(net) / 1e6, 1) == 0.6  # WRN-40-1
    assert (
        sum(isinstance(module, nn.Conv2d) for module in net.modules()) == 1 + 6 * 6 + 2
    )  # the first, two a block, two shortcuts


def test_it_learns_and_its_samples_are_alone_at_test():
    torch.manual_seed(0)
    net = HebbMasks(density=0.3).wrap(small(dropout=0.1, input_dropout=0.1), 1)
    assert isinstance(net.classifier.linear, HebbMask)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x, y = torch.randn(20, 3, 8, 8), torch.arange(20) % 5
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    net.eval()
    logits = net(x)
    assert (logits.argmax(1) == y).float().mean() > 0.9
    torch.testing.assert_close(net(x[3:5]), logits[3:5], rtol=1e-4, atol=1e-5)


def test_the_inner_units_of_a_block_can_be_removed_and_no_others():
    torch.manual_seed(0)
    net = small(blocks=2).eval()
    ledger = Ledger(net, torch.optim.SGD(net.parameters(), lr=0.1))
    names = [f"features.block{group}_{number}.body.conv1" for group in (1, 2, 3) for number in (1, 2)]
    assert list(ledger.consumers()) == names
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        net.features.block2_1.body.conv2.weight[:, 5:] = 0
    before = net(x)
    ledger.resize("features.block2_1.body.conv1", torch.arange(5), add=2)
    torch.testing.assert_close(net(x), before, rtol=1e-4, atol=1e-5)
    assert net.features.block2_1.body.norm2.num_features == 7
    for layer in ("features.conv1", "features.block1_1.body.conv2", "features.block2_1.shortcut"):
        with pytest.raises(ValueError, match="not known who reads its units"):
            ledger.resize(layer, torch.arange(4))


def test_activities_come_out_of_its_relus():
    net = small()
    names = [f"features.block{group}_1.{own}" for group in (1, 2, 3) for own in ("act1", "body.act2")]
    assert list(activation_layers(net)) == [*names, "features.act"]


def test_refusals():
    with pytest.raises(ValueError, match="a residual net needs images"):
        WideResNet((784,), lambda n: SingleHead(n, 5))
    with pytest.raises(ValueError, match="must be at least 1, not 0 and 1"):
        small(blocks=0)
