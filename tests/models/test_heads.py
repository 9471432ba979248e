"""Heads: the right columns for each task, and hands off other tasks' weights."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cl_sparse.models import IndependentNets, MaskedHead, MultiHead, SimpleMLP, SingleHead


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, tasks: torch.Tensor) -> None:
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x, tasks), torch.zeros(len(x), dtype=torch.long)).backward()
    optimizer.step()


def copy_of(module: Any) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.parameters()]


@settings(deadline=None, max_examples=30)
@given(tasks=st.lists(st.integers(0, 3), max_size=12))
def test_each_sample_gets_the_head_of_its_task(tasks: list[int]) -> None:
    h, head = torch.randn(len(tasks), 5), MultiHead(5, 4, 3)
    out = head(h, torch.tensor(tasks, dtype=torch.long))
    assert out.shape == (len(tasks), 3)
    for i, task in enumerate(tasks):
        torch.testing.assert_close(out[i], head.heads[task](h[i]))


def test_masked_head_gathers_the_columns_of_the_task() -> None:
    classes = [[4, 0], [3, 1]]
    head = MaskedHead(5, classes)
    assert head.linear.out_features == 5
    assert head.n_outputs == 2
    assert set(head.state_dict()) == {"linear.weight", "linear.bias"}
    h, tasks = torch.randn(6, 5), torch.tensor([0, 1, 1, 0, 1, 0])
    out, logits = head(h, tasks), head.linear(h)
    for i, task in enumerate(tasks.tolist()):
        assert out[i].tolist() == [logits[i, c].item() for c in classes[task]]


def test_masked_head_wants_tasks_of_one_size() -> None:
    with pytest.raises(ValueError, match="equally many"):
        MaskedHead(5, [[0, 1], [2]])


def test_a_batch_of_one_task_leaves_the_other_heads_alone() -> None:
    torch.manual_seed(0)
    model = SimpleMLP((4,), lambda n: MultiHead(n, 3, 2), hidden_units=8)
    # Made before the first task: it must train every head when its task comes.
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    heads = model.classifier.heads
    for task in range(3):
        before = [copy_of(head) for head in heads]
        for _ in range(3):
            step(model, optimizer, torch.randn(6, 4), torch.full((6,), task))
        for other, head in enumerate(heads):
            unchanged = all(torch.equal(a, b) for a, b in zip(before[other], copy_of(head), strict=True))
            assert unchanged == (other != task)
            assert (head.weight.grad is None) == (other != task)


def test_a_mixed_batch_trains_the_heads_it_has_samples_of() -> None:
    head = MultiHead(4, 3, 2)
    head(torch.randn(6, 4), torch.tensor([0, 2, 0, 2, 2, 0])).sum().backward()
    assert [h.weight.grad is None for h in head.heads] == [False, True, False]


def test_independent_nets_share_nothing() -> None:
    torch.manual_seed(0)
    model = IndependentNets(SimpleMLP((4,), lambda n: SingleHead(n, 2), hidden_units=8) for _ in range(3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    step(model, optimizer, torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2]))
    before = [copy_of(net) for net in model.nets]
    step(model, optimizer, torch.randn(6, 4), torch.full((6,), 1))
    changed = [
        any(not torch.equal(a, b) for a, b in zip(old, copy_of(net), strict=True))
        for old, net in zip(before, model.nets, strict=True)
    ]
    assert changed == [False, True, False]


def test_single_head_ignores_task_labels() -> None:
    head, h = SingleHead(4, 3), torch.randn(5, 4)
    assert torch.equal(head(h), head(h, torch.arange(5)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_types(dtype: torch.dtype) -> None:
    h, tasks = torch.randn(4, 5, dtype=dtype), torch.tensor([0, 1, 1, 0])
    for head in (MultiHead(5, 2, 3), MaskedHead(5, [[0, 1], [2, 3]]), SingleHead(5, 3)):
        assert head.to(dtype)(h, tasks).dtype == dtype
