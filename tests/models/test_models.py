"""Shapes, structure, per-sample independence and training of the MLP and the CNN."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from cl_sparse.layers import KWinners, KWinners2d, SparseWeights, SparseWeights2d, rezero_weights
from cl_sparse.models import (
    HeadFactory,
    IndependentNets,
    MaskedHead,
    MultiHead,
    SimpleCNN,
    SimpleMLP,
    SingleHead,
    activation_layers,
)
from cl_sparse.synapses import synapses_of

SHAPE = (2, 10, 11)
HEADS: dict[str, HeadFactory] = {
    "single": lambda n: SingleHead(n, 6),
    "multi": lambda n: MultiHead(n, 3, 2),
    "masked": lambda n: MaskedHead(n, [[0, 3], [5, 1], [2, 4]]),
}
SPARSE: dict[str, Any] = {"sparsify": True, "percent_on_fc": 0.1, "weight_sparsity_fc": 0.2}
HALF: dict[str, Any] = {"sparsify": True, "percent_on_fc": 0.4, "weight_sparsity_fc": 0.5}
SPARSE_CONV: dict[str, Any] = {**SPARSE, "percent_on_conv": 0.1, "weight_sparsity_conv": 0.3}


def mlp(head: HeadFactory, **settings: Any) -> nn.Module:
    return SimpleMLP(SHAPE, head, **{"hidden_units": 30, "hidden_layers": 2, "dropout": 0.3, **settings})


def cnn(head: HeadFactory, **settings: Any) -> nn.Module:
    return SimpleCNN(SHAPE, head, **{"hidden_units": 30, "dropout": 0.3, **settings})


MODELS: dict[str, Callable[[], nn.Module]] = {
    **{f"mlp-{name}": lambda head=head: mlp(head) for name, head in HEADS.items()},
    **{f"sparse-mlp-{name}": lambda head=head: mlp(head, **SPARSE) for name, head in HEADS.items()},
    **{f"cnn-{name}": lambda head=head: cnn(head) for name, head in HEADS.items()},
    **{f"sparse-cnn-{name}": lambda head=head: cnn(head, **SPARSE_CONV) for name, head in HEADS.items()},
    "normalised-mlp-single": lambda: mlp(HEADS["single"], batch_norm=True, input_dropout=0.1, **SPARSE),
    "normalised-live-single": lambda: mlp(
        HEADS["single"], sparsify=True, weight_sparsity_fc=0.2, weights="sparse", batch_norm=True
    ),
    "normalised-cnn-single": lambda: cnn(HEADS["single"], batch_norm=True, input_dropout=0.1, **SPARSE_CONV),
    "sparse-head-mlp-multi": lambda: mlp(HEADS["multi"], **HALF, sparsify_head=True),
    "sparse-head-live-masked": lambda: mlp(HEADS["masked"], **HALF, weights="sparse", sparsify_head=True),
    "sparse-head-cnn-single": lambda: cnn(HEADS["single"], **HALF, sparsify_head=True),
    "independent": lambda: IndependentNets(mlp(HEADS["single"], **SPARSE) for _ in range(3)),
}


@pytest.mark.parametrize("name", MODELS)
def test_logits_of_a_sample_do_not_depend_on_its_batch(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]()
    x, tasks = torch.randn(9, *SHAPE), torch.tensor([0, 1, 2, 2, 1, 0, 0, 0, 1])
    for _ in range(2):  # some duty cycles
        model(x, tasks)
    model.eval()
    together = model(x, tasks)
    assert together.shape == (9, 6 if "single" in name or name == "independent" else 2)
    alone = torch.cat([model(x[i : i + 1], tasks[i : i + 1]) for i in range(9)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    order = torch.randperm(9)
    torch.testing.assert_close(model(x[order], tasks[order]), together[order], rtol=1e-4, atol=1e-5)
    assert model(x[:0], tasks[:0]).shape == (0, together.shape[1])


@pytest.mark.parametrize("name", MODELS)
def test_task_labels_are_required_where_needed(name: str) -> None:
    model = MODELS[name]()
    x = torch.randn(3, *SHAPE)
    if "single" in name:
        assert not model.needs_task_labels
        assert model(x).shape == (3, 6)
        return
    assert model.needs_task_labels
    with pytest.raises(ValueError, match="needs the task labels"):
        model(x)
    for wrong in (torch.tensor([0, 1, 3]), torch.tensor([-1, 0, 0])):
        with pytest.raises(ValueError, match="from 0 to 2"):
            model(x, wrong)


def test_structure_of_the_mlp() -> None:
    dense = mlp(HEADS["single"])
    assert [name for name, _ in dense.features.named_children()] == [
        "flatten",
        "fc1",
        "act1",
        "drop1",
        "fc2",
        "act2",
        "drop2",
    ]
    assert isinstance(dense.features.fc1, nn.Linear)
    assert isinstance(dense.features.act1, nn.ReLU)
    sparse = mlp(HEADS["single"], boost_strength=0.7, k_inference_factor=2.0, duty_cycle_period=50, **SPARSE)
    assert isinstance(sparse.features.fc1, SparseWeights)
    act = sparse.features.act2
    assert isinstance(act, KWinners)
    assert (act.k, act.k_inference, act.duty_cycle_period, act.relu) == (3, 6, 50, False)
    assert act.boost_strength.item() == pytest.approx(0.7)
    assert set(sparse.state_dict()) >= {
        "features.fc1.module.weight",
        "features.fc1.zero_mask",
        "features.act1.duty_cycle",
    }
    no_kwinners = mlp(HEADS["single"], sparsify=True, weight_sparsity_fc=0.5, dropout=0.0)
    assert isinstance(no_kwinners.features.act1, nn.ReLU)
    assert isinstance(no_kwinners.features.fc1, SparseWeights)
    assert "drop1" not in dict(no_kwinners.features.named_children())
    # Without `sparsify` nothing is sparse.
    off = mlp(HEADS["single"], **{**SPARSE, "sparsify": False})
    assert not any(isinstance(module, KWinners | SparseWeights) for module in off.modules())
    linear = SimpleMLP((5,), HEADS["single"], hidden_layers=0)
    assert sum(p.numel() for p in linear.parameters()) == 5 * 6 + 6


def test_structure_of_the_cnn() -> None:
    dense = cnn(HEADS["single"])
    assert [name for name, _ in dense.features.named_children()] == [
        "conv1",
        "act1",
        "drop1",
        "conv2",
        "act2",
        "drop2",
        "flatten",
        "fc3",
        "act3",
        "drop3",
    ]
    assert (dense.features.conv1.out_channels, dense.features.conv2.out_channels) == (64, 128)
    assert dense.features.fc3.in_features == 128 * 2 * 3
    sparse = cnn(HEADS["single"], **SPARSE_CONV)
    assert isinstance(sparse.features.conv2, SparseWeights2d)
    assert isinstance(sparse.features.relu1, nn.ReLU)
    assert isinstance(sparse.features.act1, KWinners2d)
    assert sparse.features.act1.local
    assert isinstance(sparse.features.act3, KWinners)
    relu_convs = cnn(HEADS["single"], **SPARSE)
    assert isinstance(relu_convs.features.act1, nn.ReLU)
    assert isinstance(relu_convs.features.conv1, nn.Conv2d)


def test_activation_layers() -> None:
    names = ["features.act1", "features.act2", "features.act3"]
    for model in (cnn(HEADS["single"]), cnn(HEADS["single"], **SPARSE_CONV), cnn(HEADS["single"], **SPARSE)):
        found = activation_layers(model)
        assert list(found) == names
        assert all(module is model.get_submodule(name) for name, module in found.items())
    nets = IndependentNets(SimpleMLP((4,), HEADS["single"], hidden_units=3) for _ in range(2))
    assert list(activation_layers(nets)) == ["nets.0.features.act1", "nets.1.features.act1"]
    assert activation_layers(nn.Linear(2, 2)) == {}


@pytest.mark.parametrize(
    ("shape", "message"), [((784,), "needs images"), ((1, 8, 8), "behind conv2"), ((3, 32, 8), "32x8")]
)
def test_cnn_on_data_that_it_cannot_take(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SimpleCNN(shape, HEADS["single"])


def test_smallest_image() -> None:
    small = SimpleCNN((1, 3, 3), HEADS["single"], hidden_units=4, padding=True)
    assert small(torch.randn(2, 1, 3, 3)).shape == (2, 6)
    assert SimpleCNN((1, 9, 9), HEADS["single"], hidden_units=4)(torch.randn(2, 1, 9, 9)).shape == (2, 6)


@pytest.mark.parametrize("name", [name for name in MODELS if "cnn" not in name or "multi" in name])
def test_training_reduces_the_loss(name: str) -> None:
    torch.manual_seed(1)
    model = MODELS[name]()
    x, y, tasks = torch.randn(24, *SHAPE), torch.randint(0, 2, (24,)), torch.arange(24) % 3
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x, tasks), y)
        loss.backward()
        optimizer.step()
        rezero_weights(model)
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", MODELS)
def test_gpu_gives_the_logits_of_the_cpu(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().eval().double()
    x, tasks = torch.randn(9, *SHAPE, dtype=torch.float64), torch.arange(9) % 3
    expected = model(x, tasks)
    torch.testing.assert_close(model.cuda()(x.cuda(), tasks.cuda()).cpu(), expected)


def test_units_are_normalised_before_they_are_activated() -> None:
    torch.manual_seed(0)
    net = mlp(HEADS["single"], batch_norm=True, dropout=0.0)
    names = [name for name, _ in net.features.named_children()]
    assert names == ["flatten", "fc1", "norm1", "act1", "fc2", "norm2", "act2"]
    seen: list[torch.Tensor] = []
    net.features.act1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randn(20, *SHAPE)
    net(x)
    units = net.features.fc1(x.flatten(1))
    expected = (units - units.mean(0)) / (units.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-5)
    assert len(net.consumers()["features.fc1"].per_unit) == 1
    convolutions = [name for name, _ in cnn(HEADS["single"], batch_norm=True).features.named_children()]
    assert convolutions[:3] == ["conv1", "norm1", "act1"]


@pytest.mark.parametrize(
    "settings", [{"compute": "winners", "weight_sparsity_fc": 1.0}, {"weights": "sparse", "weight_sparsity_fc": 0.2}]
)
def test_what_computes_winners_alone_cannot_normalise(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="batch_norm needs all units"):
        mlp(HEADS["single"], sparsify=True, percent_on_fc=0.1, batch_norm=True, **settings)


def test_maps_may_keep_their_size_and_be_pooled() -> None:
    net = cnn(HEADS["single"], conv_channels=[4, 6, 8], kernel_size=3, padding=True, pool=2)
    sizes: list[torch.Size] = []
    for name, module in net.features.named_children():
        if name.startswith(("conv", "pool")):
            module.register_forward_hook(lambda _, inputs, output: sizes.append(output.shape[1:]))
    x = torch.randn(3, *SHAPE)
    net(x)
    assert [tuple(size) for size in sizes] == [(4, 10, 11), (4, 5, 5), (6, 5, 5), (6, 2, 2), (8, 2, 2), (8, 1, 1)]
    assert "features.conv2" in net.consumers()
    with pytest.raises(ValueError, match="odd kernel size, not 4"):
        cnn(HEADS["single"], kernel_size=4, padding=True)


def test_kernels_may_step_and_maps_be_averaged() -> None:
    net = cnn(HEADS["single"], conv_channels=[4, 6], kernel_size=3, stride=2, average_maps=True, dropout=0.0)
    names = [name for name, _ in net.features.named_children()]
    assert names == ["conv1", "act1", "conv2", "act2", "average", "flatten", "fc3", "act3"]
    x = torch.randn(3, *SHAPE)
    maps = net.features[:4](x)
    assert maps.shape[1:] == (6, 1, 2)
    torch.testing.assert_close(net.features[:6](x), maps.mean((2, 3)))
    assert net.features.fc3.in_features == 6
    own = net.consumers()["features.conv2"]
    assert (own.readers, own.between) == (("features.fc3",), ("features.act2", "features.average", "features.flatten"))
    kept = cnn(HEADS["single"], conv_channels=[4], kernel_size=3, padding=True, stride=3)
    assert kept.features.conv1(x).shape[2:] == (4, 4)
    with pytest.raises(ValueError, match="behind conv3"):
        cnn(HEADS["single"], conv_channels=[2, 2, 2], kernel_size=3, stride=2)


@pytest.mark.parametrize("weights", ["masked", "sparse"])
@pytest.mark.parametrize("head", HEADS)
def test_a_head_may_be_as_sparse_as_the_rest(head: str, weights: str) -> None:
    net = mlp(HEADS[head], **SPARSE, weights=weights, sparsify_head=True)
    in_head = [found for found in synapses_of(net) if found.layer.startswith("classifier")]
    assert len(in_head) == (3 if head == "multi" else 1)
    for found in in_head:
        assert found.stored == ("masked" if weights == "masked" else "live")
        assert found.n_live == round(0.2 * 30) * found.shape[0]
    assert isinstance(net, SimpleMLP)
    assert net.consumers()["features.fc2"].readers == tuple(found.layer for found in in_head)


@pytest.mark.parametrize("sparsify", [False, True])
def test_maps_lie_channels_last_and_have_the_same_values(sparsify: bool) -> None:
    torch.manual_seed(0)
    sparse = {"percent_on_conv": 0.3, "percent_on_fc": 0.5, "weight_sparsity_conv": 0.5} if sparsify else {}
    net = SimpleCNN((3, 12, 12), HEADS["single"], hidden_units=8, pool=2, padding=True, sparsify=sparsify, **sparse)
    net.eval()  # in training mode the second pass would find other duty cycles
    x = torch.randn(4, 3, 12, 12)
    seen = []
    handle = net.features.conv1.register_forward_hook(lambda _, __, out: seen.append(out))
    found = net(x)
    found.square().sum().backward()
    handle.remove()
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert not seen[0].is_contiguous()
    gradients = [parameter.grad.clone() for parameter in net.parameters()]
    net.zero_grad()
    plain = net.classifier(net.features(x))
    plain.square().sum().backward()
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-5)
    for gradient, parameter in zip(gradients, net.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-3, atol=1e-4)
