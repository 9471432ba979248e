"""NISPA: exact counts, stable units that read stable units only, and old tasks that give the same for ever."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cl_sparse.errors import UserError
from cl_sparse.layers import rezero_weights
from cl_sparse.models import MultiHead, SimpleCNN, SimpleMLP, SingleHead
from cl_sparse.synapses import Ledger, Nispa

TASKS = 3


def net_of(kind: str) -> nn.Module:
    torch.manual_seed(0)
    sparse: dict[str, Any] = {"sparsify": True, "hidden_units": 40, "hidden_layers": 2}

    def head(n: int) -> MultiHead:
        return MultiHead(n, TASKS, 4)

    if kind == "cnn":
        return SimpleCNN((1, 12, 12), head, **sparse, weight_sparsity_fc=0.2, weight_sparsity_conv=0.5)
    return SimpleMLP(
        (10,),
        head,
        **sparse,
        weight_sparsity_fc=0.3,
        compute="reference",
        weights="sparse" if kind == "live" else "masked",
    )


def made(kind: str, optimizer: str = "sgd") -> tuple[nn.Module, Ledger, Nispa]:
    net = net_of(kind)
    makers = {
        "sgd": lambda: torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3),
        "adam": lambda: torch.optim.AdamW(net.parameters(), lr=0.01),
    }
    ledger = Ledger(net, makers[optimizer]())
    nispa = Nispa(phases=6)
    ledger.attach(nispa)
    return net, ledger, nispa


def data(task: int, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(task)
    x = torch.randn(24, *((1, 12, 12) if kind == "cnn" else (10,)), generator=generator)
    return x, torch.randint(4, (24,), generator=generator), torch.full((24,), task)


def learn(net: nn.Module, ledger: Ledger, task: int, kind: str, epochs: int = 4) -> None:
    x, y, labels = data(task, kind)
    ledger.before_task(task)
    for epoch in range(epochs):
        net.train()
        ledger.before_epoch(epoch, epochs, 4)
        for _ in range(4):
            ledger.optimizer.zero_grad()
            nn.functional.cross_entropy(net(x, labels), y).backward()
            ledger.optimizer.step()
            rezero_weights(net)
    ledger.after_task(task, [])


def outputs(net: nn.Module, task: int, kind: str) -> Tensor:
    net.eval()
    with torch.no_grad():
        return net(data(task, kind)[0], data(task, kind)[2])


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("kind", ["cnn", "live", "masked"])
def test_old_tasks_give_the_same_for_ever_and_counts_stay(kind: str, optimizer: str) -> None:
    net, ledger, nispa = made(kind, optimizer)
    counts = {name: found.n_live for name, found in ledger.synapses.items()}
    before: dict[int, Tensor] = {}
    for task in range(TASKS):
        fresh = outputs(net, task, kind)
        learn(net, ledger, task, kind)
        before[task] = outputs(net, task, kind)
        assert not torch.equal(before[task], fresh)
        for earlier, logits in before.items():
            torch.testing.assert_close(outputs(net, earlier, kind), logits, rtol=0, atol=0)
        assert {name: found.n_live for name, found in ledger.synapses.items()} == counts
        stable = [int(units.sum()) for units in nispa.stable.values()]
        assert all(0 < n <= len(units) for n, units in zip(stable, nispa.stable.values(), strict=True))


@pytest.mark.parametrize("kind", ["cnn", "masked"])
def test_stable_units_read_stable_units_only(kind: str) -> None:
    net, ledger, nispa = made(kind)
    for task in range(2):
        learn(net, ledger, task, kind)
        below = None
        for layer, stable in nispa.stable.items():
            found = next(found for found in ledger.synapses.values() if found.layer == layer)
            units, inputs = found.places()
            if below is not None:
                sources = inputs // (found.shape[1:].numel() // len(below))
                assert below[sources[stable[units]]].all()
            below = stable
        head = net.get_submodule(nispa.heads[task]).weight
        reads = below.repeat_interleave(head.shape[1] // len(below))
        assert not head[:, ~reads].any()
        assert head[:, reads].all()


def test_the_fewest_units_that_hold_the_share_are_chosen() -> None:
    _, _, nispa = made("masked")
    layer = nispa.layers[0]
    nispa.activity[layer] = torch.rand(40, generator=torch.Generator().manual_seed(0))
    nispa.stable[layer][:5] = True
    activity = nispa.activity[layer]
    for share in (0.1, 0.5, 0.9, 1.0):
        chosen = nispa._chosen(layer, share)
        assert chosen[:5].all()
        assert float(activity[chosen].sum()) >= share * float(activity.sum()) * (1 - 1e-5)
        added = chosen & ~nispa.stable[layer]
        if added.any():
            least = activity[added].min()
            assert float(activity[chosen].sum() - least) < share * float(activity.sum())
            rest = activity[~chosen]
            assert not len(rest) or float(rest.max()) <= float(least)


def test_a_resumed_one_goes_on() -> None:
    def two() -> tuple[nn.Module, Ledger, Nispa]:
        net, ledger, nispa = made("masked")
        return net, ledger, nispa

    net, ledger, _ = two()
    learn(net, ledger, 0, "masked")
    again, resumed, theirs = two()
    again.load_state_dict(net.state_dict())
    resumed.load_state_dict(ledger.state_dict())
    assert any(stable.any() for stable in theirs.stable.values())
    for n, own in ((net, ledger), (again, resumed)):
        own.optimizer.state.clear()
        learn(n, own, 1, "masked")
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), again.parameters(), strict=True))
    with pytest.raises(ValueError, match="what is stable is of the layers"):
        theirs.load_state_dict({"stable": {}})


def test_what_it_cannot_do_is_refused() -> None:
    dense = SimpleMLP((10,), lambda n: MultiHead(n, 2, 2), hidden_units=8)
    with pytest.raises(ValueError, match=r"features\.\w+ is dense: sparse weights are needed"):
        Ledger(dense, torch.optim.SGD(dense.parameters(), lr=0.1)).attach(Nispa())
    single = SimpleMLP((10,), lambda n: SingleHead(n, 2), hidden_units=8, sparsify=True, weight_sparsity_fc=0.5)
    with pytest.raises(ValueError, match="a head for each task is needed"):
        Ledger(single, torch.optim.SGD(single.parameters(), lr=0.1)).attach(Nispa())
    with pytest.raises(ValueError, match="phases must be at least 1"):
        Nispa(phases=0)
    _, ledger, _ = made("masked")
    ledger.before_task(0)
    with pytest.raises(UserError, match="train_ep must be at least 2"):
        ledger.before_epoch(0, 1, 4)
