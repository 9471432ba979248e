"""SetRBM: a step of contrastive divergence against a slow reference, counts, copies, and that it learns."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cl_sparse.layers import SetRBM


def rbm(seed=0, visible=12, hidden=9, **settings):
    torch.manual_seed(seed)
    made = SetRBM(visible, hidden, **{"epsilon": 2.0, "dtype": torch.float64, **settings})
    with torch.no_grad():
        made.connections.values.mul_(3)
        made.connections.bias.normal_()
        made.visible_bias.normal_()
    return made


def dense(made) -> tuple[Tensor, Tensor, Tensor]:
    """W (hidden, visible), b and a."""
    weight = torch.zeros(made.connections.out_features, made.connections.in_features, dtype=torch.float64)
    units, inputs = made.connections.indices
    weight[units, inputs] = made.connections.values.detach()
    return weight, made.connections.bias.detach().clone(), made.visible_bias.detach().clone()


def slow_gradients(made, v, steps, generator):
    """Mean products at both ends of the chain, sample by sample and pair by pair; negative: a step goes down."""
    weight, b, a = dense(made)
    hidden = (v @ weight.T + b).sigmoid()
    end, there = v, hidden
    for _ in range(steps):
        drawn = (torch.rand(there.shape, generator=generator) < there).double()
        end = (drawn @ weight + a).sigmoid()
        there = (end @ weight.T + b).sigmoid()
    of_weights = []
    for unit, place in made.connections.indices.T.tolist():
        pairs = [there[s, unit] * end[s, place] - hidden[s, unit] * v[s, place] for s in range(len(v))]
        of_weights.append(sum(pairs) / len(v))
    return torch.stack(of_weights), (there - hidden).mean(0), (end - v).mean(0), end


@pytest.mark.parametrize("steps", [1, 3])
def test_a_step_is_the_slow_reference_s(steps):
    made, v, decay = rbm(), torch.rand(7, 12, dtype=torch.float64), 0.01
    optimizer = torch.optim.SGD(made.parameters(), lr=0.5, momentum=0.9)
    expected = [made.connections.values, made.connections.bias, made.visible_bias]
    expected = [x.detach().clone() for x in expected]
    momenta = [torch.zeros_like(x) for x in expected]
    for seed in range(3):
        *gradients, end = slow_gradients(made, v, steps, torch.Generator().manual_seed(seed))
        loss, reconstruction = made.contrast(v, steps, torch.Generator().manual_seed(seed))
        torch.testing.assert_close(reconstruction, end)
        optimizer.zero_grad()
        loss.backward()
        made.decay(decay)
        optimizer.step()
        momenta = [0.9 * m - 0.5 * g for m, g in zip(momenta, gradients, strict=True)]
        shrunk = [expected[0] * (1 - decay), *expected[1:]]
        expected = [x + m for x, m in zip(shrunk, momenta, strict=True)]
        for one, other in zip(
            (made.connections.values, made.connections.bias, made.visible_bias), expected, strict=True
        ):
            torch.testing.assert_close(one.detach(), other)


def test_the_free_energy_sums_over_all_hidden_states():
    made, v = rbm(hidden=5, epsilon=1.5), torch.rand(4, 12, dtype=torch.float64)
    weight, b, a = dense(made)
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 5)
    energies = -(v @ a)[:, None] - states @ b - (v @ weight.T) @ states.T
    torch.testing.assert_close(made.free_energy(v).detach(), -torch.logsumexp(-energies, dim=1))


def test_both_ways_are_the_dense_ones_whatever_the_loops():
    made, v = rbm(), torch.rand(7, 12, dtype=torch.float64)
    weight, b, a = dense(made)
    h = (torch.rand(7, 9) < 0.3).double()
    for method in ("auto", "dense", "active", "torch"):
        made.connections.method = method
        torch.testing.assert_close(made(v).detach(), (v @ weight.T + b).sigmoid())
        torch.testing.assert_close(made.visible(h), (h @ weight + a).sigmoid())


@given(st.integers(2, 15), st.integers(2, 15), st.floats(0, 1), st.floats(0, 1), st.integers(0, 5))
def test_counts_stay_exact_and_what_moves_are_the_smallest_of_each_sign(visible, hidden, share, zeta, seed):
    epsilon = share * visible * hidden / (visible + hidden)
    made = rbm(seed, visible, hidden, epsilon=epsilon, zeta=zeta)
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1, momentum=0.5)
    before = made.connections.values.detach().clone()
    for _ in range(2):
        n = len(before)
        positive, negative = sorted(before[before >= 0].tolist()), sorted((-before[before < 0]).tolist())
        free = visible * hidden - n
        going = int(zeta * len(positive)) + int(zeta * len(negative))
        moved = made.evolve(optimizer)
        assert made.connections.values.numel() == n == int(epsilon * (visible + hidden))
        assert len({tuple(pair) for pair in made.connections.indices.T.tolist()}) == n
        assert int((moved.old < 0).sum()) == min(going, free)
        if going <= free:
            stayed = made.connections.values.detach()[moved.old >= 0]
            kept = [*positive[int(zeta * len(positive)) :], *(-w for w in negative[int(zeta * len(negative)) :])]
            assert sorted(stayed.tolist()) == sorted(kept)
        before = made.connections.values.detach().clone()


def test_the_optimizer_forgets_what_moved():
    made, v = rbm(), torch.rand(7, 12, dtype=torch.float64)
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1, momentum=0.9)
    made.contrast(v)[0].backward()
    optimizer.step()
    momenta = optimizer.state[made.connections.values]["momentum_buffer"].clone()
    moved = made.evolve(optimizer)
    assert torch.equal(optimizer.state[made.connections.values]["momentum_buffer"], moved.carry(momenta))
    assert int((moved.old < 0).sum()) > 5


def test_copies_and_states_go_on_as_the_first():
    made, v = rbm(), torch.rand(7, 12, dtype=torch.float64)
    made.evolve()
    loaded = rbm(seed=1)
    loaded.load_state_dict(made.state_dict())
    for one in (copied := copy.deepcopy(made), loaded):
        optimizer = torch.optim.SGD(one.parameters(), lr=0.1)
        one.contrast(v, 2, torch.Generator().manual_seed(3))[0].backward()
        optimizer.step()
        one.evolve(optimizer, torch.Generator().manual_seed(4))
    for name, x in copied.state_dict().items():
        assert torch.equal(x, loaded.state_dict()[name])
    assert not torch.equal(copied.connections.values, made.connections.values)
    one, other = (x.contrast(v, 1, torch.Generator().manual_seed(5))[1] for x in (copied, loaded))
    assert torch.equal(one, other)


def test_it_learns_to_reconstruct_and_moves_to_inputs_that_vary():
    torch.manual_seed(0)
    made = SetRBM(30, 20, epsilon=4.0)
    drawn = torch.rand(400, 1)
    data = torch.zeros(400, 30)
    data[:, :10] = (drawn < 0.5).float()
    data[:, 10:15] = (drawn > 0.3).float()
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1, momentum=0.5)
    errors = []
    for epoch in range(30):
        if epoch:
            made.evolve(optimizer)
        total = 0.0
        for rows in torch.randperm(400).split(20):
            loss, end = made.contrast(data[rows])
            total += float((end - data[rows]).square().mean())
            optimizer.zero_grad()
            loss.backward()
            made.decay(1e-3)
            optimizer.step()
        errors.append(total / 20)
    assert errors[-1] < 0.2 * errors[0]
    counts = made.connections.indices[1].bincount(minlength=30).float()
    assert counts[:15].mean() > 1.2 * counts[15:].mean()


def test_refusals():
    with pytest.raises(ValueError, match="epsilon must be from 0 to"):
        SetRBM(20, 10, epsilon=30.0)
    with pytest.raises(ValueError, match="steps must be at least 1, not 0"):
        rbm().contrast(torch.rand(2, 12, dtype=torch.float64), 0)
