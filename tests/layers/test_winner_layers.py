"""Layers that compute only what wins, number by number against the dense layers and their masks."""

import copy
import pickle
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from cl_sparse.layers import ActiveLinear, CompactDropout, CompactKWinners, KWinners, WinnerLinear, Winners
from cl_sparse.synapses import LazySGD


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_winners(batch: int, n: int, m: int, seed: int) -> Winners:
    g = generator(seed)
    indices = torch.stack([torch.randperm(n, generator=g)[:m] for _ in range(batch)])
    values = torch.randn(batch, m, dtype=torch.float64, generator=g)
    empty = torch.rand(batch, m, generator=g) < 0.3
    return Winners(indices.masked_fill(empty, -1), values.masked_fill(empty, 0), n)


def both_nets(sizes: list[int], k: int, dtype: torch.dtype = torch.float64, **settings: object) -> list[nn.Sequential]:
    """The same net twice: masks over dense layers, and winners only."""
    dense, compact = [], []
    for n_in, n_out in pairwise(sizes[:-1]):
        linear = nn.Linear(n_in, n_out)
        winners = KWinners(n_out, percent_on=k / n_out, **{"boost_strength": 1.4, **settings})
        compact += [WinnerLinear.of(copy.deepcopy(linear)), CompactKWinners.of(winners)]
        dense += [linear, winners]
    last = nn.Linear(sizes[-2], sizes[-1])
    compact.append(ActiveLinear.of(copy.deepcopy(last)))
    return [nn.Sequential(*dense, last).to(dtype), nn.Sequential(*compact).to(dtype)]


def inputs(kind: str, batch: int, n: int, seed: int) -> Tensor:
    x = torch.randn(batch, n, dtype=torch.float64, generator=generator(seed))
    if kind == "dense":
        return x
    if kind == "background":
        return torch.where(x < 0.8, torch.full_like(x, -0.4), x)
    if kind == "zero rows":
        return torch.where((x < 0.8) | (torch.arange(batch)[:, None] % 2 == 0), torch.zeros_like(x), x)
    return torch.where(x < 0.8, torch.full_like(x, 1.5), -x.abs())  # a background that is not the smallest value


@pytest.mark.parametrize("kind", ["dense", "background", "zero rows", "high background"])
@pytest.mark.parametrize(("batch", "k"), [(1, 3), (6, 1), (6, 3), (6, 12), (6, 40), (0, 3)])
@pytest.mark.parametrize("relu", [False, True])
def test_outputs_gradients_and_duty_cycles_are_those_of_the_dense_layers(kind: str, batch: int, k: int, relu: bool):
    dense, compact = both_nets([15, 40, 40, 4], k, relu=relu)
    for step in range(3):
        x = inputs(kind, batch, 15, step).requires_grad_()
        y = x.detach().clone().requires_grad_()
        upstream = torch.randn(batch, 4, dtype=torch.float64, generator=generator(9))
        for net, leaf in ((dense, x), (compact, y)):
            net.zero_grad()
            (net(leaf) * upstream).sum().backward()
        torch.testing.assert_close(compact(y.detach()), dense(x.detach()), rtol=0, atol=1e-12)
        torch.testing.assert_close(y.grad, x.grad, rtol=0, atol=1e-12)
        for a, b in zip(compact.parameters(), dense.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-12)
    for name, value in dense.state_dict().items():
        torch.testing.assert_close(compact.state_dict()[name], value, msg=name)
    compact.eval(), dense.eval()
    torch.testing.assert_close(compact(y.detach()), dense(x.detach()), rtol=0, atol=1e-12)
    assert compact[1].learning_iterations == dense[1].learning_iterations


def test_tied_winners_all_win_with_their_gradients():
    dense, compact = both_nets([6, 20, 3], 4, boost_strength=0.0)
    for net in (dense, compact):
        with torch.no_grad():
            net[0].weight.copy_(torch.arange(20).div(3, rounding_mode="floor")[:, None] * torch.ones(6))
            net[0].bias.zero_()
        net(torch.ones(2, 6, dtype=torch.float64)).sum().backward()
    hidden = compact[1](compact[0](torch.ones(2, 6, dtype=torch.float64)))
    assert (hidden.dense() != 0).sum(1).tolist() == [5, 5]
    torch.testing.assert_close(compact[0].stored_weight().grad, dense[0].weight.grad)


def test_all_zero_values_tie_and_nan_passes_on():
    dense, compact = both_nets([6, 20, 3], 4)
    zeros = torch.zeros(2, 6, dtype=torch.float64)
    for net in (dense, compact):
        nn.init.zeros_(net[0].bias)
    torch.testing.assert_close(compact(zeros), dense(zeros))
    for broken in (dense, compact):
        assert broken(zeros.fill_(torch.nan)).isnan().all()


@pytest.mark.parametrize("m", [0, 1, 4])
def test_gradcheck_of_a_linear_layer_of_winners(m: int):
    layer = ActiveLinear(9, 5).double()
    winners = random_winners(4, 9, m, seed=m)

    def function(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        del weight, bias
        return layer(Winners(winners.indices, values * (winners.indices >= 0), 9))

    values = winners.values.clone().requires_grad_()
    assert torch.autograd.gradcheck(function, (values, layer.stored_weight(), layer.bias))


@pytest.mark.parametrize("compact_input", [False, True])
def test_gradcheck_of_winner_values(compact_input: bool):
    layer, act = WinnerLinear(9, 30).double(), CompactKWinners(30, percent_on=0.1).eval()
    winners = random_winners(4, 9, 3, seed=1)
    x = winners.values if compact_input else inputs("background", 4, 9, 1)

    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        del weight, bias
        return act(layer(Winners(winners.indices, x * (winners.indices >= 0), 9) if compact_input else x)).dense()

    assert torch.autograd.gradcheck(function, (x.clone().requires_grad_(), layer.stored_weight(), layer.bias))


def test_dropout_drops_winners_and_scales_the_others():
    winners = Winners(torch.arange(10_000)[None], torch.ones(1, 10_000), 10_000)
    kept = CompactDropout(0.3)(winners)
    assert abs((kept.indices >= 0).float().mean().item() - 0.7) < 0.02
    assert kept.values.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert torch.equal(kept.values == 0, kept.indices < 0)
    assert CompactDropout(0.3).eval()(winners) is winners
    assert CompactDropout(0.3)(torch.ones(5)).shape == (5,)


def test_winners_look_like_the_dense_tensor():
    winners = random_winners(5, 9, 4, seed=3)
    dense = winners.dense()
    assert (winners.shape, winners.numel()) == (dense.shape, dense.numel())
    assert torch.equal(winners.on_counts(), (dense > 0).sum(0))
    rows = torch.tensor([3, 1])
    assert torch.equal(winners[rows].dense(), dense[rows])


def test_layer_is_a_linear_layer_in_state_and_copies():
    plain = nn.Linear(7, 5)
    layer = ActiveLinear.of(plain)
    x = torch.randn(3, 7)
    assert isinstance(layer, nn.Linear)
    assert list(layer.state_dict()) == ["weight", "bias"]
    other = nn.Linear(7, 5)
    other.load_state_dict(layer.state_dict())
    layer.load_state_dict(other.state_dict())
    for again in (layer, other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(again(x), plain(x))
    assert copy.deepcopy(layer).weight.stride() == layer.weight.stride() == (1, 5)
    assert ActiveLinear(7, 5, bias=False).bias is None


def test_half_precision_takes_the_dense_way():
    dense, compact = (net.bfloat16() for net in both_nets([6, 20, 3], 4))
    x = torch.randn(4, 6).bfloat16()
    assert torch.equal(compact(x), dense(x))


@pytest.mark.parametrize("layer", [ActiveLinear, WinnerLinear])
def test_inputs_that_do_not_fit_raise_as_in_torch(layer: type[ActiveLinear]):
    for x in (torch.zeros(2, 8), torch.zeros(2, 7).double()):
        for given in (x, Winners(torch.zeros(2, 1, dtype=torch.long), x[:, :1], x.shape[1])):
            with pytest.raises(RuntimeError, match=r"shapes|dtype"):
                layer(7, 5)(given)


def test_results_do_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    seen = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            _, compact = both_nets([30, 300, 300, 4], 5, torch.float32)
            compact(inputs("background", 8, 30, 0).float()).square().sum().backward()
            assert torch.get_num_threads() == threads
            seen.append([parameter.grad for parameter in compact.parameters()])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))


@pytest.mark.parametrize("how", ["assigned", "loaded", "input-major"])
@pytest.mark.parametrize("winners", [False, True])
def test_a_parameter_put_in_the_weights_place(how: str, winners: bool):
    """It is a plain one, or of another layout: dense gradients, and the numbers of a linear layer."""
    layer, last, plain = WinnerLinear(9, 30).double(), ActiveLinear(30, 5).double(), nn.Linear(9, 30).double()
    head = nn.Linear(30, 5).double()
    act, mask = CompactKWinners(30, 0.1), KWinners(30, 0.1)
    for ours, theirs in ((layer, plain), (last, head)):
        if how == "loaded":
            ours.load_state_dict(theirs.state_dict(), assign=True)
        else:
            weight = theirs.weight.detach().clone()
            ours.weight = nn.Parameter(weight if how == "assigned" else weight.t().contiguous().t())
            ours.bias = nn.Parameter(theirs.bias.detach().clone())
    sparse = random_winners(4, 9, 3, seed=1)
    x = sparse if winners else sparse.dense()
    optimizer = LazySGD([*layer.parameters(), *last.parameters()], 0.1, momentum=0.9)
    peer = torch.optim.SGD([*plain.parameters(), *head.parameters()], 0.1, momentum=0.9)
    for _ in range(3):
        y, expected = last(act(layer(x))), head(mask(plain(sparse.dense())))
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
        optimizer.zero_grad(), peer.zero_grad()
        y.square().sum().backward(), expected.square().sum().backward()
        assert not layer.stored_weight().grad.is_sparse
        torch.testing.assert_close(layer.stored_weight().grad, plain.weight.grad, rtol=0, atol=1e-12)
        torch.testing.assert_close(last.stored_weight().grad, head.weight.grad, rtol=0, atol=1e-12)
        optimizer.step(), peer.step()
