"""SpaceNet: exact counts, places between a task's units only, nothing in or out of reserved units, frozen synapses."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cl_sparse.layers import rezero_weights
from cl_sparse.models import MultiHead, SimpleCNN, SimpleMLP, SingleHead
from cl_sparse.synapses import Ledger, SpaceNet

CLASSES = 6


def made(kind: str = "mlp", optimizer: str = "sgd", **arguments: Any) -> tuple[nn.Module, Ledger, SpaceNet]:
    torch.manual_seed(0)

    def head(n: int) -> SingleHead:
        return SingleHead(n, CLASSES)

    sparse: dict[str, Any] = {"sparsify": True, "hidden_units": 40, "hidden_layers": 2, "weight_sparsity_fc": 0.5}
    net: nn.Module = (
        SimpleCNN((1, 12, 12), head, **sparse, weight_sparsity_conv=0.5)
        if kind == "cnn"
        else SimpleMLP((10,), head, **sparse, compute="reference")
    )
    makers = {
        "sgd": lambda: torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3),
        "adam": lambda: torch.optim.AdamW(net.parameters(), lr=0.01),
    }
    ledger = Ledger(net, makers[optimizer]())
    space = SpaceNet(**arguments)
    ledger.attach(space)
    return net, ledger, space


def learn(net: nn.Module, ledger: Ledger, task: int, kind: str = "mlp", epochs: int = 3) -> None:
    generator = torch.Generator().manual_seed(task)
    x = torch.randn(24, *((1, 12, 12) if kind == "cnn" else (10,)), generator=generator)
    y = torch.randint(2, (24,), generator=generator)
    ledger.before_task(task)
    net.train()
    for epoch in range(epochs):
        ledger.before_epoch(epoch, epochs, 4)
        for _ in range(4):
            ledger.optimizer.zero_grad()
            logits = net(x)[:, 2 * task : 2 * task + 2]  # those of the current classes compete
            nn.functional.cross_entropy(logits, y).backward()
            ledger.optimizer.step()
            rezero_weights(net)
    ledger.after_task(task, [])


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("kind", ["cnn", "mlp"])
def test_counts_are_exact_and_what_is_frozen_stays(kind: str, optimizer: str) -> None:
    net, ledger, space = made(kind, optimizer)
    live = dict.fromkeys(space.layers, 0)
    assert all(ledger.synapses[name].n_live == 0 for name in ledger.synapses if "classifier" not in name)
    frozen: dict[str, tuple[Tensor, Tensor]] = {}
    rows: Tensor | None = None
    for task in range(3):
        before = {layer: taken.clone() for layer, taken in space.taken.items()}
        learn(net, ledger, task, kind)
        for layer, found in space._synapses().items():
            below = space._below(layer, found)
            live[layer] += round(0.2 * int(space.chosen[layer].sum()) * int(below.sum()))
            assert found.n_live <= live[layer]  # shared units may leave too few free places
            assert task or found.n_live == live[layer]
            assert int(space.taken[layer].sum()) == min(
                len(before[layer]), (task + 1) * round(0.1 * len(before[layer]))
            )
            assert (space.taken[layer] >= before[layer]).all()
            assert not (space.chosen[layer] & before[layer]).any()
            if layer in frozen:
                mask, values = frozen[layer]
                assert torch.equal(found.parameter[mask], values)
                new = found.live & ~mask
                assert new.any()
                assert not new[before[layer]].any()
            frozen[layer] = (found.live.clone(), found.parameter.detach()[found.live].clone())
        weight = net.get_submodule(space.head).weight.detach()
        assert space.done.tolist() == [row < 2 * task + 2 for row in range(CLASSES)]
        assert not weight[2 * task + 2 :].any()
        assert rows is None or torch.equal(weight[: len(rows)], rows)
        rows = weight[: 2 * task + 2].clone()


def test_the_least_important_go_to_where_both_ends_matter_most() -> None:
    _, ledger, space = made(drop=0.25)
    ledger.before_task(0)
    layer, (name, found) = space.layers[1], [(own.name, own) for own in space._synapses().values()][1]
    generator = torch.Generator().manual_seed(3)
    for own in space._synapses().values():
        space.importance[own.name].copy_(torch.rand(own.parameter.shape, generator=generator) * own.live)
    importance = space.importance[name].clone()
    live = found.live.clone()
    below = space.importance[space._synapses()[space.layers[0]].name].sum(1)
    product = importance.sum(1)[:, None] * below[None, :]
    allowed = space.chosen[layer][:, None] & space.chosen[space.layers[0]][None, :] & ~live
    ledger.before_epoch(1, 2, 1)
    now = space._synapses()[layer].live
    gone, grown = live & ~now, now & ~live
    assert int(gone.sum()) == int(grown.sum()) == round(0.25 * int(live.sum()))
    assert float(importance[gone].max()) <= float(importance[live & ~gone].min())
    assert (allowed | ~grown).all()
    assert float(product[grown].min()) >= float(product[allowed & ~grown].max())
    assert not space._synapses()[layer].parameter[grown].any()


def test_importance_is_the_sum_of_changes_of_the_loss() -> None:
    net, ledger, space = made()
    ledger.before_task(0)
    expected = {name: torch.zeros_like(p) for name, p in ledger.parameters().items()}
    for step in range(3):
        x = torch.randn(8, 10, generator=torch.Generator().manual_seed(step))
        before = {name: p.detach().clone() for name, p in ledger.parameters().items()}
        ledger.optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), torch.arange(8) % 2).backward()
        ledger.optimizer.step()
        for name, p in ledger.parameters().items():
            expected[name] += (p.grad * (p.detach() - before[name])).abs()
        rezero_weights(net)
    for name, sums in expected.items():
        torch.testing.assert_close(space.importance[name], sums, rtol=1e-4, atol=1e-7)


def test_a_resumed_one_goes_on() -> None:
    net, ledger, _ = made()
    learn(net, ledger, 0)
    again, resumed, theirs = made()
    again.load_state_dict(net.state_dict())
    resumed.load_state_dict(ledger.state_dict())
    assert any(taken.any() for taken in theirs.taken.values())
    for n, own in ((net, ledger), (again, resumed)):
        own.optimizer.state.clear()
        learn(n, own, 1)
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), again.parameters(), strict=True))
    with pytest.raises(ValueError, match="what is reserved is of the layers"):
        theirs.load_state_dict({"taken": {}, "done": torch.zeros(1)})


def test_what_it_cannot_do_is_refused() -> None:
    dense = SimpleMLP((10,), lambda n: SingleHead(n, 2), hidden_units=8)
    with pytest.raises(ValueError, match="is dense: masked weights are needed"):
        Ledger(dense, torch.optim.SGD(dense.parameters(), lr=0.1)).attach(SpaceNet())
    heads = SimpleMLP((10,), lambda n: MultiHead(n, 2, 2), hidden_units=8, sparsify=True, weight_sparsity_fc=0.5)
    with pytest.raises(ValueError, match="one head for all tasks is needed, not 2"):
        Ledger(heads, torch.optim.SGD(heads.parameters(), lr=0.1)).attach(SpaceNet())
    with pytest.raises(ValueError, match="density must be above 0"):
        SpaceNet(density=0)
    with pytest.raises(ValueError, match="reserved must be above 0 and at most selected"):
        SpaceNet(reserved=0.5)
