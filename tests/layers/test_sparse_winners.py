"""Sparse products that are streamed into k-winners: the same numbers as the layers one after the other."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cl_sparse.kernels import live_winners as sparse_select
from cl_sparse.kernels.arrays import Found, array
from cl_sparse.kernels.selection import CLEAR, TIED
from cl_sparse.layers import CompactKWinners, KWinners, PreActivations, SparseWinnerLinear, sparse_loops
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.layers.sparse_winners import winner_values
from cl_sparse.layers.winners import Winners


def nets(n: int, k: int, dtype: torch.dtype = torch.float64) -> tuple[nn.Sequential, nn.Sequential]:
    """Return a streamed net and one of separate layers, with equal weights."""
    settings: dict[str, Any] = {"percent_on": k / n, "k_inference_factor": 1.5}
    streamed = nn.Sequential(
        SparseWinnerLinear(13, n, density=0.4),
        CompactKWinners(n, **settings),
        SparseWinnerLinear(n, n, density=0.3, inputs="winners"),
        CompactKWinners(n, **settings),
        SparseLinear(n, 4, density=1.0, inputs="winners"),
    ).to(dtype)
    separate = nn.Sequential(
        SparseLinear(13, n, fan_in=1),
        KWinners(n, **settings),
        SparseLinear(n, n, fan_in=1),
        KWinners(n, **settings),
        SparseLinear(n, 4, fan_in=1),
    ).to(dtype)
    separate.load_state_dict(streamed.state_dict(), strict=False)
    for one, two in zip(separate, streamed, strict=True):
        if isinstance(one, SparseLinear):
            one.load_state_dict(two.state_dict())
    return streamed, separate


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 70), share=st.floats(0, 1), batch=st.integers(1, 9), seed=st.integers(0, 99))
def test_same_numbers_as_separate_layers(n: int, share: float, batch: int, seed: int) -> None:
    torch.manual_seed(seed)
    streamed, separate = nets(n, round(share * n))
    for train in (True, True, False):
        streamed.train(train)
        separate.train(train)
        x = torch.randn(batch, 13, dtype=torch.float64, requires_grad=True)
        twin = x.detach().clone().requires_grad_()
        y, expected = streamed(x), separate(twin)
        torch.testing.assert_close(y, expected)
        streamed.zero_grad()
        separate.zero_grad()
        y.square().sum().backward()
        expected.square().sum().backward()
        torch.testing.assert_close(x.grad, twin.grad)
        for one, two in zip(streamed, separate, strict=True):
            if isinstance(one, SparseLinear):
                two.values.data = two.values.grad
                one.values.data = one.values.grad
                torch.testing.assert_close(one.to_masked().weight, two.to_masked().weight)
                torch.testing.assert_close(one.bias.grad, two.bias.grad)
            else:
                torch.testing.assert_close(one.duty_cycle, two.duty_cycle)


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 700),
    share=st.floats(0, 1),
    batch=st.integers(1, 6),
    levels=st.sampled_from([1, 3, 1000]),
    threads=st.sampled_from([1, 2]),
    seed=st.integers(0, 999),
)
def test_selection(n: int, share: float, batch: int, levels: int, threads: int, seed: int) -> None:
    """The winners' ranks are the k largest, and ties are told; few ``levels`` make many."""
    rng = np.random.default_rng(seed)
    y, factor = rng.integers(-levels, levels + 1, (batch, n)).astype(np.float32), rng.random(n, np.float32)
    k = max(1, round(share * n))
    ids, values = np.empty((batch, k), np.int64), np.empty((batch, k), np.float32)
    rate = np.empty(n, np.float32)
    state = sparse_select.winners_of_dense(threads, y, factor, Found(ids, values, rate))
    order = np.argsort(-y * factor, 1, kind="stable")
    assert (np.sort(ids, 1) == np.sort(order[:, :k], 1)).all(), "of those that tie, the first win"
    ordered = np.take_along_axis(y * factor, order, 1)
    tied = k < n and (ordered[:, k - 1] == ordered[:, min(k, n - 1)]).any()
    assert state == (TIED if tied else CLEAR)
    assert (rate == ((ids[..., None] == np.arange(n)) & (values[..., None] > 0)).any(1).mean(0, dtype=np.float32)).all()
    assert (values == np.take_along_axis(y, ids, 1)).all()
    ranks = np.sort(np.take_along_axis(y * factor, ids, 1), 1)
    assert (ranks == np.sort(y * factor, 1)[:, n - k :]).all()
    alone = np.empty_like(ids)
    for sample in range(batch):
        one = slice(sample, sample + 1)
        sparse_select.winners_of_dense(1, y[one], factor, Found(alone[one], values[one], rate))
    assert (alone == ids).all(), "what wins, and in which order, depends on the other samples"


@pytest.mark.parametrize("threads", [1, 2])
def test_streaming_finds_what_selecting_afterwards_finds(threads: int) -> None:
    layer = SparseLinear(20, 3000, fan_in=4)
    x, factor = torch.randn(5, 20), torch.rand(3000)
    expected = (layer(x) * factor).topk(7, dim=1).indices.sort(1).values
    ids, values = np.empty((5, 7), np.int64), np.empty((5, 7), np.float32)
    found = Found(ids, values, np.empty(3000, np.float32))
    transposed = np.ascontiguousarray(x.numpy().T)
    matrix = sparse_loops.matrix(layer.layout, layer.values)
    assert not sparse_select.winners_by_units(threads, transposed, matrix, array(layer.bias), factor.numpy(), found)
    assert np.array_equal(np.sort(ids, 1), expected.numpy())
    torch.testing.assert_close(torch.from_numpy(values), layer(x).gather(1, torch.from_numpy(ids)))


@pytest.mark.parametrize("inputs", ["any", "winners"])
def test_gradients(inputs: Any) -> None:
    torch.manual_seed(1)
    layer = SparseWinnerLinear(9, 12, density=0.4, dtype=torch.float64, inputs=inputs)
    ids = torch.tensor([[1, 5, -1], [8, 0, 3]]) if inputs == "winners" else None
    x = torch.randn(2, 9 if ids is None else 3, dtype=torch.float64, requires_grad=True)

    def best(x: Tensor) -> tuple[Tensor, Tensor]:
        ones = torch.ones(12, dtype=torch.float64)
        found = sparse_loops.streamed(layer.layout, layer.values, layer.bias, x, ids, ones, 4, break_ties=False)
        indices, values, _ = found
        indices[:, 1], values[:, 1] = -1, 0  # as of a unit that is left out
        return values, indices

    def winning(x: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        x = x if ids is None else x * (ids >= 0)
        return winner_values(x, values, bias, *best(x.detach()), ids, layer.layout)

    assert layer.bias is not None
    assert torch.autograd.gradcheck(winning, (x, layer.values, layer.bias))


@pytest.mark.parametrize("inputs", ["any", "winners"])
@pytest.mark.parametrize("threads", [1, 2])
def test_ties_and_diverged_nets(inputs: Any, threads: int) -> None:
    before = torch.get_num_threads()
    layer, act = SparseWinnerLinear(5, 40, fan_in=2, inputs=inputs), CompactKWinners(40, 0.2)
    x: Any = torch.ones(3, 5) if inputs == "any" else Winners(torch.arange(2).repeat(3, 1), torch.ones(3, 2), 5)
    try:
        torch.set_num_threads(threads)
        with torch.no_grad():
            layer.values.zero_()
            layer.bias.zero_()
            assert isinstance(layer(x), PreActivations)
            assert act(layer(x)).indices.sort(1).values.equal(torch.arange(40).repeat(3, 1))
            act.break_ties = True
            assert act(layer(x)).indices.sort(1).values.equal(torch.arange(8).repeat(3, 1))
            layer.bias[7] = np.nan
            assert act(layer(x)).values.isnan().any(1).all()
    finally:
        torch.set_num_threads(before)


def test_threads_do_not_change_the_winners() -> None:
    streamed, _ = nets(200, 10, torch.float32)
    x, before, results = torch.randn(8, 13), torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            streamed.zero_grad()
            y = streamed(x)
            y.sum().backward()
            results.append([y.detach(), *(p.grad for p in streamed.parameters())])
            for act in (streamed[1], streamed[3]):
                act.duty_cycle.zero_()
                act.learning_iterations = 0
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


def test_what_cannot_be_streamed() -> None:
    layer, act = SparseWinnerLinear(13, 20, fan_in=3), CompactKWinners(20, 0.1)
    assert isinstance(act(layer(torch.randn(2, 13).bfloat16())), Tensor)
    pending = layer(torch.randn(2, 13))
    assert pending.shape == pending.dense().shape == (2, 20)
    with pytest.raises(ValueError, match="13"):
        layer(torch.randn(2, 12))
    assert "last forward=streamed" in repr((act(pending), layer)[1])
