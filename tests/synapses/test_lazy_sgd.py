"""Lazy SGD against torch's own, over many steps, and everything that looks at weights in between."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cl_sparse.layers import ActiveLinear, CompactKWinners, KWinners, WinnerLinear
from cl_sparse.synapses import LazySGD

RULES = [
    {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-2},
    {"momentum": 0.9, "weight_decay": 1e-2},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.01, "nesterov": True, "weight_decay": 1e-2},
    {"weight_decay": 1e-2},
    {},
]


def nets(dtype: torch.dtype = torch.float64) -> tuple[nn.Sequential, nn.Sequential]:
    torch.manual_seed(0)
    first, second, head = nn.Linear(12, 60), nn.Linear(60, 50), nn.Linear(50, 4)
    dense = nn.Sequential(first, KWinners(60, 0.05), second, KWinners(50, 0.06), head)
    compact = nn.Sequential(
        WinnerLinear.of(first),
        CompactKWinners(60, 0.05),
        WinnerLinear.of(second),
        CompactKWinners(50, 0.06),
        ActiveLinear.of(head),
    )
    return dense.to(dtype), copy.deepcopy(compact).to(dtype)


def batch(step: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(5, 12, generator=generator, dtype=dtype)
    return torch.where(x < 0.7, torch.full_like(x, -0.3), x), torch.randint(4, (5,), generator=generator)


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: range, backwards: int = 1) -> list[float]:
    losses = []
    for step in steps:
        optimizer.zero_grad()
        for part in range(backwards):
            x, y = batch(step * 10 + part, next(net.parameters()).dtype)
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def assert_same(compact: nn.Module, dense: nn.Module, atol: float = 1e-10) -> None:
    state = compact.state_dict()
    for name, value in dense.state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=0, atol=atol, msg=name)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("backwards", [1, 2])
def test_the_same_numbers_as_torch(rule: dict, backwards: int):
    dense, compact = nets()
    ours, theirs = LazySGD(compact.parameters(), 0.05, **rule), torch.optim.SGD(dense.parameters(), 0.05, **rule)
    losses = train(compact, ours, range(150), backwards), train(dense, theirs, range(150), backwards)
    torch.testing.assert_close(*map(torch.tensor, losses), rtol=0, atol=1e-10)
    assert_same(compact, dense)
    for a, b in zip(ours.state_dict()["state"].values(), theirs.state_dict()["state"].values(), strict=True):
        for key in a:
            torch.testing.assert_close(a[key], b[key], rtol=0, atol=1e-10)


def test_single_precision_follows_the_reference_loss_curve():
    dense, compact = nets(torch.float32)
    rule = {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}
    ours = train(compact, LazySGD(compact.parameters(), **rule), range(60))
    theirs = train(dense, torch.optim.SGD(dense.parameters(), **rule), range(60))
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), rtol=1e-3, atol=1e-4)


def test_rows_really_wait_and_whoever_asks_gets_current_weights():
    dense, compact = nets()
    rule = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-2}
    ours, theirs = LazySGD(compact.parameters(), **rule), torch.optim.SGD(dense.parameters(), **rule)
    train(compact, ours, range(20)), train(dense, theirs, range(20))
    stored = compact[2].stored_weight()
    assert (stored - dense[2].weight).abs().max() > 1e-6
    assert_same(copy.deepcopy(compact), dense)
    torch.testing.assert_close(stored, dense[2].weight, rtol=0, atol=1e-10)
    train(compact, ours, range(20, 30)), train(dense, theirs, range(20, 30))
    torch.testing.assert_close(compact[2].weight, dense[2].weight, rtol=0, atol=1e-10)
    train(compact, ours, range(30, 40)), train(dense, theirs, range(30, 40))
    ours.flush()
    torch.testing.assert_close(stored, dense[2].weight, rtol=0, atol=1e-10)
    assert compact.eval()(batch(1)[0]).isfinite().all()


@settings(deadline=None, max_examples=15)
@given(changes=st.lists(st.tuples(st.sampled_from([0.01, 0.1]), st.sampled_from([0.0, 0.9])), min_size=2, max_size=4))
def test_changed_numbers_take_effect_from_the_next_step(changes: list[tuple[float, float]]):
    dense, compact = nets()
    ours = LazySGD(compact.parameters(), 0.05, weight_decay=1e-2)
    theirs = torch.optim.SGD(dense.parameters(), 0.05, weight_decay=1e-2)
    for part, (lr, momentum) in enumerate(changes):
        for net, optimizer in ((compact, ours), (dense, theirs)):
            optimizer.param_groups[0].update(lr=lr, momentum=momentum)
            train(net, optimizer, range(part * 10, part * 10 + 10))
    assert_same(compact, dense)


@pytest.mark.parametrize("way", ["to torch", "from torch", "lazy"])
def test_state_dicts_can_be_exchanged_with_torch(way: str):
    rule = {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-2}
    dense, compact = nets()
    ours, theirs = LazySGD(compact.parameters(), **rule), torch.optim.SGD(dense.parameters(), **rule)
    train(compact, ours, range(10)), train(dense, theirs, range(10))
    new_dense, new_compact = nets()
    for module, kept in zip(new_dense, dense, strict=True):
        if isinstance(module, KWinners):
            module.learning_iterations = kept.learning_iterations
    for module, kept in zip(new_compact, compact, strict=True):
        if isinstance(module, KWinners):
            module.learning_iterations = kept.learning_iterations
    if way == "to torch":
        net, optimizer = new_dense, torch.optim.SGD(new_dense.parameters(), **rule)
        net.load_state_dict(compact.state_dict())
        optimizer.load_state_dict(copy.deepcopy(ours.state_dict()))
    else:
        source, state = (dense, theirs) if way == "from torch" else (compact, ours)
        net, optimizer = new_compact, LazySGD(new_compact.parameters(), **rule)
        train(net, optimizer, range(3))
        net.load_state_dict(source.state_dict())
        optimizer.load_state_dict(copy.deepcopy(state.state_dict()))
        for module, kept in zip(net, compact, strict=True):
            if isinstance(module, KWinners):
                module.learning_iterations = kept.learning_iterations
    train(net, optimizer, range(10, 20)), train(dense, theirs, range(10, 20))
    assert_same(net, dense, atol=1e-10)


def test_released_layers_train_with_any_optimizer():
    dense, compact = nets()
    ours, theirs = LazySGD(compact.parameters(), 0.05), torch.optim.SGD(dense.parameters(), 0.05)
    train(compact, ours, range(10)), train(dense, theirs, range(10))
    ours.release()
    train(compact, torch.optim.Adam(compact.parameters(), 0.01), range(10, 20))
    train(dense, torch.optim.Adam(dense.parameters(), 0.01), range(10, 20))
    assert_same(compact, dense, atol=1e-8)


def test_a_parameter_without_gradient_stays_and_ordinary_ones_take_part():
    layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3), ActiveLinear(3, 3)]).double()
    before = copy.deepcopy(layers.state_dict())
    optimizer = LazySGD(layers.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(2):
        optimizer.step(lambda: layers[0](torch.ones(1, 3, dtype=torch.float64)).sum().backward())
    for name, value in layers.state_dict().items():
        assert torch.equal(value, before[name]) == (not name.startswith("0."))


def test_dense_input_to_a_lazy_layer_takes_a_dense_step():
    torch.manual_seed(0)
    plain = nn.Linear(6, 4).double()
    lazy = ActiveLinear.of(copy.deepcopy(plain))
    rule = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-2}
    ours, theirs = LazySGD(lazy.parameters(), **rule), torch.optim.SGD(plain.parameters(), **rule)
    for step in range(10):
        x = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        for layer, optimizer in ((lazy, ours), (plain, theirs)):
            optimizer.zero_grad()
            layer(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(lazy.weight, plain.weight, rtol=0, atol=1e-12)


def test_zero_grad_forgets_the_gradients_or_fills_them_with_zeros():
    _, compact = nets()
    optimizer = LazySGD(compact.parameters(), 0.05)
    compact(batch(1)[0]).sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert all(not parameter.grad.to_dense().any() for parameter in compact.parameters())
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in compact.parameters())


def test_sparse_gradients_of_other_layers_are_refused_as_by_torch():
    layer = nn.Embedding(4, 3, sparse=True)
    optimizer = LazySGD(layer.parameters(), 0.05)
    layer(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse"):
        optimizer.step()


def test_a_copy_that_begins_with_the_optimizer_has_current_weights():
    _, compact = nets()
    optimizer = LazySGD(compact.parameters(), lr=0.05, momentum=0.9)
    train(compact, optimizer, range(8))
    its_optimizer, its_net = copy.deepcopy((optimizer, compact))
    assert_same(its_net, compact)
    train(compact, optimizer, range(8, 12))
    train(its_net, its_optimizer, range(8, 12))
    assert_same(its_net, compact)


@pytest.mark.parametrize("unknown", [{"dampening": 0.5}, {"maximize": True}])
def test_what_its_steps_do_not_do_is_refused(unknown: dict):
    dense, compact = nets()
    with pytest.raises(ValueError, match="neither dampening nor maximize"):
        LazySGD([{"params": compact.parameters(), **unknown}], lr=0.05)
    theirs = torch.optim.SGD(dense.parameters(), lr=0.05, momentum=0.9, **unknown)
    optimizer = LazySGD(compact.parameters(), lr=0.05, momentum=0.9)
    optimizer.load_state_dict(theirs.state_dict())
    with pytest.raises(ValueError, match="neither dampening nor maximize"):
        train(compact, optimizer, range(1))
