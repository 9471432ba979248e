"""Truly sparse linear layers: the same numbers as the mask over dense weights, gradients, states, types."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cl_sparse.layers import SparseWeights
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.layers.sparse_state import masked_state, sparse_state
from cl_sparse.layers.winners import Winners

KINDS: list[dict[str, Any]] = [
    {"inputs": inputs, "method": method}
    for inputs in ("any", "winners")
    for method in ("auto", "dense", "active", "torch")
]


def masked_layer(n_in: int, n_out: int, density: float, dtype: torch.dtype = torch.float64) -> SparseWeights:
    """Return a layer with live synapses anywhere, so that some rows and columns are empty."""
    layer = SparseWeights(nn.Linear(n_in, n_out), weight_sparsity=1.0, allow_extremes=True).to(dtype)
    with torch.no_grad():
        layer.zero_mask.copy_(torch.rand(n_out, n_in) >= density)
    layer.rezero_weights()
    return layer


def mostly_zero(batch: int, n: int, share: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return (torch.randn(batch, n, dtype=dtype) * (torch.rand(batch, n) < share)).requires_grad_()


def assert_same_products(sparse: SparseLinear, masked: SparseWeights, x: Tensor, weights_of_loss: Tensor) -> None:
    x_of_masked = x.detach().clone().requires_grad_()
    y, expected = sparse(x), masked(x_of_masked)
    torch.testing.assert_close(y, expected)
    (y * weights_of_loss).sum().backward()
    (expected * weights_of_loss).sum().backward()
    units, inputs = sparse.indices
    assert sparse.values.grad is not None
    torch.testing.assert_close(sparse.values.grad, masked.module.weight.grad[units, inputs])
    if sparse.bias is not None:
        torch.testing.assert_close(sparse.bias.grad, masked.module.bias.grad)
    of_x = x_of_masked.grad
    assert of_x is not None
    if sparse.inputs == "winners":
        of_x = of_x * (x != 0)
    torch.testing.assert_close(x.grad, of_x)


@settings(deadline=None, max_examples=60)
@given(
    n_in=st.integers(1, 40),
    n_out=st.integers(1, 40),
    batch=st.integers(0, 9),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    on=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    sent_back=st.sampled_from([0.0, 0.05, 1.0]),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 1000),
)
def test_same_numbers_as_a_mask(
    n_in: int, n_out: int, batch: int, density: float, on: float, sent_back: float, kind: dict[str, Any], seed: int
) -> None:
    torch.manual_seed(seed)
    masked = masked_layer(n_in, n_out, density)
    sparse = SparseLinear.from_masked(masked, **kind)
    weights_of_loss = mostly_zero(batch, n_out, sent_back).detach()
    assert_same_products(sparse, masked, mostly_zero(batch, n_in, on), weights_of_loss)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))
def test_gradients(kind: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = SparseLinear(7, 5, density=0.4, dtype=torch.float64, **kind)
    x = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    values = layer.values.detach().clone().requires_grad_()

    def product(x: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"values": values, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(product, (x, values, layer.bias))


@pytest.mark.parametrize("inputs", ["any", "winners"])
def test_gradients_of_winners(inputs: Any) -> None:
    torch.manual_seed(0)
    layer = SparseLinear(9, 5, density=0.4, dtype=torch.float64, inputs=inputs)
    on = torch.tensor([[1, 5, -1], [8, 0, 3], [-1, -1, -1]])
    coefs = (torch.randn(3, 3, dtype=torch.float64) * (on >= 0)).requires_grad_()

    def product(coefs: Tensor, values: Tensor) -> Tensor:
        # An empty entry has no value to be moved.
        listed = Winners(on, coefs * (on >= 0), 9)
        return torch.func.functional_call(layer, {"values": values}, (listed,))

    values = layer.values.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(product, (coefs, values))
    torch.testing.assert_close(layer(Winners(on, coefs, 9)), layer(Winners(on, coefs, 9).dense()))


@pytest.mark.parametrize("inputs", ["any", "winners"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_types_and_leading_dimensions(inputs: Any, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    masked = masked_layer(30, 20, 0.2, torch.float32)
    sparse = SparseLinear.from_masked(masked, inputs=inputs).to(dtype)
    x = torch.randn(2, 3, 30).to(dtype)
    y = sparse(x)
    assert (y.dtype, y.shape) == (dtype, (2, 3, 20))
    torch.testing.assert_close(y, masked.to(dtype)(x), atol=0.05, rtol=0.05) if dtype == torch.bfloat16 else (
        torch.testing.assert_close(y, masked(x))
    )
    y.float().sum().backward()
    assert sparse.values.grad is not None
    assert sparse.values.grad.dtype == dtype


@pytest.mark.parametrize("inputs", ["any", "winners"])
def test_threads_do_not_change_the_numbers(inputs: Any) -> None:
    layer = SparseLinear(300, 200, density=0.1, inputs=inputs)
    results, threads = [], torch.get_num_threads()
    x = mostly_zero(16, 300, 0.05, torch.float32)
    g = mostly_zero(16, 200, 0.05, torch.float32).detach()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            layer.zero_grad()
            x.grad = None
            y = layer(x)
            (y * g).sum().backward()
            results.append([y.detach(), layer.values.grad, x.grad])
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_same_training_as_a_mask(optimizer: Any) -> None:
    torch.manual_seed(0)
    masked = SparseWeights(nn.Linear(40, 30), 0.2)
    sparse = SparseLinear.from_masked(masked, inputs="winners")
    steps = [optimizer(layer.parameters(), lr=0.1, weight_decay=1e-3, fused=True) for layer in (masked, sparse)]
    for _ in range(5):
        x = mostly_zero(8, 40, 0.1, torch.float32).detach()
        for layer, step in zip((masked, sparse), steps, strict=True):
            step.zero_grad()
            layer(x).square().sum().backward()
            step.step()
        masked.rezero_weights()
    torch.testing.assert_close(sparse.to_masked().weight, masked.weight)
    assert sum(x.numel() for x in steps[1].state[sparse.values].values() if x is not None and x.dim()) in (
        0,
        2 * sparse.values.numel(),
    )


@pytest.mark.parametrize("kind", [{"density": 0.07}, {"fan_in": 3}, {"density": 1.0}, {"fan_in": 0}, {"fan_in": 30}])
@pytest.mark.parametrize("inputs", ["any", "winners"])
def test_drawn_synapses(kind: dict[str, Any], inputs: Any) -> None:
    layer = SparseLinear(50, 20, inputs=inputs, **kind)
    fan_in = kind.get("fan_in", round(kind.get("density", 0) * 50))
    assert torch.bincount(layer.indices[0], minlength=20).tolist() == [fan_in] * 20
    assert layer.indices.unique(dim=1).shape == layer.indices.shape
    if fan_in:
        bound = fan_in**-0.5
        assert 0.6 * bound < float(layer.values.detach().abs().max()) <= bound
        assert "synapses=" in repr(layer)


def test_every_input_is_as_likely() -> None:
    for fan_in in (2, 12):
        counts = torch.bincount(SparseLinear(24, 20_000, fan_in=fan_in).indices[1], minlength=24)
        assert (counts / 20_000 - fan_in / 24).abs().max() < 0.02


@pytest.mark.parametrize("inputs", ["any", "winners"])
@pytest.mark.parametrize("other", ["any", "winners"])
def test_states(inputs: Any, other: Any) -> None:
    masked, layer = masked_layer(12, 9, 0.3), SparseLinear(12, 9, fan_in=2, inputs=inputs, dtype=torch.float64)
    model = nn.Sequential(layer)
    model.load_state_dict({f"0.{name}": x for name, x in masked.state_dict().items()})
    x = torch.randn(4, 12, dtype=torch.float64)
    torch.testing.assert_close(model(x), masked(x))
    twin = SparseLinear(12, 9, fan_in=1, inputs=other, dtype=torch.float64)
    twin.load_state_dict(layer.state_dict())
    torch.testing.assert_close(twin(x), masked(x))
    back = masked_state(twin.state_dict(), 12, 9)
    for name, expected in masked.state_dict().items():
        torch.testing.assert_close(back[name], expected)
    assert sparse_state(back, inputs, 12, 9).keys() == layer.state_dict().keys()
    loaded = masked_layer(12, 9, 0.5)
    loaded.load_state_dict(back)
    torch.testing.assert_close(loaded(x), masked(x))
    torch.testing.assert_close(copy.deepcopy(layer).to_masked().weight, masked.weight)
    dense = nn.Linear(12, 9).double()
    torch.testing.assert_close(SparseLinear.from_dense(dense, inputs=inputs)(x), dense(x))
    with pytest.raises(ValueError, match="must be"):
        sparse_state(masked.state_dict(), inputs, 13, 9)
    with pytest.raises(ValueError, match="neither"):
        masked_state({"scale": x}, 12, 9)
    with pytest.raises(RuntimeError, match="Missing key"):
        layer.load_state_dict({"bias": torch.zeros(9)})


def change(layer: SparseLinear, how: str) -> None:
    """Rewire a layer of fan-in 2, or load another number of synapses into it."""
    if how == "load":
        layer.load_state_dict(SparseLinear(layer.in_features, layer.out_features, fan_in=4).state_dict())
        return
    drop, grow = {"fewer": (2, 0), "as many": (1, 1), "more": (0, 3)}[how]
    free = layer.to_masked().zero_mask.nonzero()[:grow]
    layer.rewire(torch.arange(drop), (free[:, 0], free[:, 1]))


@pytest.mark.parametrize("how", ["fewer", "as many", "more", "load"])
@pytest.mark.parametrize("retain_graph", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("inputs", ["any", "winners"])
def test_training_goes_on_while_an_output_from_before_a_rewiring_is_kept(
    inputs: Any, dtype: torch.dtype, retain_graph: bool, how: str
) -> None:
    torch.manual_seed(0)
    layer = SparseLinear(6, 4, fan_in=2, inputs=inputs, dtype=dtype)
    seen: list[int] = []
    layer.values.register_hook(lambda grad: seen.append(len(grad)))
    layer.values.register_post_accumulate_grad_hook(lambda values: seen.append(len(values)))
    x, values = torch.randn(5, 6, dtype=dtype), layer.values
    kept = layer(x)
    kept.sum().backward(retain_graph=retain_graph)
    change(layer, how)
    assert layer.values is values
    assert values.grad is None
    optimizer, before = torch.optim.SGD(layer.parameters(), lr=0.1), values.detach().clone()
    layer(x).sum().backward()
    optimizer.step()
    assert values.grad is not None
    assert seen == [8, 8, len(values), len(values)]
    torch.testing.assert_close(values.grad, x.sum(0)[layer.indices[1]], atol=0.05, rtol=0.05)
    torch.testing.assert_close(values.detach(), before - 0.1 * values.grad)
    assert kept.shape == (5, 4)


@pytest.mark.parametrize("how", ["fewer", "as many", "more", "load"])
@pytest.mark.parametrize("inputs", ["any", "winners"])
def test_no_backward_pass_through_an_output_from_before_a_rewiring(inputs: Any, how: str) -> None:
    layer = SparseLinear(6, 4, fan_in=2, inputs=inputs)
    kept = layer(torch.randn(5, 6))
    change(layer, how)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        kept.sum().backward()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one"),
        ({"density": 0.5, "fan_in": 1}, "exactly one"),
        ({"density": 1.5}, "density"),
        ({"fan_in": 5}, "fan_in"),
        ({"indices": torch.zeros(3, 2)}, r"\(2, nnz\)"),
        ({"indices": torch.tensor([[0, 0], [1, 1]])}, "twice"),
        ({"indices": torch.tensor([[0, 3], [1, 1]])}, "from 0 to 2"),
        ({"fan_in": 1, "inputs": "dense"}, "inputs"),
        ({"fan_in": 1, "method": "csr"}, "method"),
    ],
)
def test_refusals(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SparseLinear(4, 3, **arguments)
    with pytest.raises(ValueError, match=r"\(\.\.\., 4\)"):
        SparseLinear(4, 3, fan_in=1)(torch.zeros(2, 5))
