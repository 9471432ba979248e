"""Whatever happens to synapses, every number stays with its synapse: random histories against a plain dictionary."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cl_sparse.layers import SparseWeightsBase
from cl_sparse.synapses import (
    Ledger,
    Mechanism,
    Needs,
    Synapses,
    live_synapses,
)
from cl_sparse.wiring.moved import Resized, Swapped
from tests.synapses.nets import NETS, OPTIMIZERS, batch, train_step

Place = tuple[str, int, int]
HIDDEN_LAYER = {"conv": "1"}


class Books:
    """A ledger beside a dictionary from place to number, which is told in words what happened."""

    def __init__(self, kind: str, optimizer: str, seed: int) -> None:
        torch.manual_seed(seed)
        self.net = NETS[kind]()
        self.optimizer = OPTIMIZERS[optimizer](self.net)
        self.ledger = Ledger(self.net, self.optimizer, seed)
        self.fresh = itertools.count(1)
        self.tags = self.ledger.keep("test", "tag", fresh=-1.0)
        for name, found in self.ledger.synapses.items():
            self.write(name, found, list(range(found.n_live)))
        self.known = self.read()

    def write(self, name: str, found: Synapses, positions: list[int]) -> None:
        """Give the synapses at these positions numbers that no other has."""
        numbers = torch.tensor([float(next(self.fresh)) for _ in positions])
        if found.stored == "live":
            self.tags[name][positions] = numbers
        else:
            units, inputs = found.places()
            self.tags[name].flatten(1)[units[positions], inputs[positions]] = numbers

    def read(self) -> dict[Place, float]:
        """Return the number of each live synapse by layer, unit and input."""
        known = {}
        for found in self.ledger.synapses.values():
            units, inputs = found.places()
            for unit, source, tag in zip(
                units.tolist(), inputs.tolist(), found.of_live(self.tags[found.name]), strict=True
            ):
                known[found.layer, unit, source] = float(tag)
        return known

    def rewire(self, drop_share: float, grow_share: float, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for found in list(self.ledger.synapses.values()):
            if found.stored not in ("masked", "live"):
                continue
            units, inputs = found.places()
            drop = torch.randperm(found.n_live, generator=generator)[: round(drop_share * found.n_live)]
            free = torch.ones(found.shape[0], found.shape[1:].numel(), dtype=torch.bool)
            free[units, inputs] = False
            free[units[drop], inputs[drop]] = True
            places = free.nonzero()
            places = places[torch.randperm(len(places), generator=generator)][: round(grow_share * len(places))]
            before, parameter = found.n_live, found.parameter
            self.ledger.rewire(found, drop, (places[:, 0], places[:, 1]))
            for position in drop.tolist():
                del self.known[found.layer, int(units[position]), int(inputs[position])]
            self.known |= {(found.layer, unit, source): -1.0 for unit, source in places.tolist()}
            after = self.ledger.synapses[found.name]
            assert after.parameter is parameter
            assert after.n_live == before - len(drop) + len(places)

    def resize(self, layer: str, keep: list[int], add: int) -> None:
        shapes = {found.layer: found.shape for found in self.ledger.synapses.values()}
        self.ledger.resize(layer, torch.tensor(keep, dtype=torch.long), add)
        place = {old: new for new, old in enumerate(keep)}
        found = {found.layer: found for found in self.ledger.synapses.values()}
        assert found[layer].shape[0] == len(keep) + add
        (reader,) = self.ledger.consumers()[layer].readers
        block = shapes[reader][1] // shapes[layer][0]
        inner = shapes[reader][2:].numel()
        moved: dict[Place, float] = {}
        for (name, unit, source), tag in self.known.items():
            if name == layer and unit in place:
                moved[name, place[unit], source] = tag
            elif name == reader and source // inner // block in place:
                column = place[source // inner // block] * block + source // inner % block
                moved[name, unit, column * inner + source % inner] = tag
            elif name not in (layer, reader):
                moved[name, unit, source] = tag
        for at in self.read():  # new synapses, wherever they are, have the fresh number
            moved.setdefault(at, -1.0)
        self.known = moved

    def check(self) -> None:
        assert self.read() == self.known
        assert live_synapses(self.net) == len(self.known)
        for name, parameter in self.ledger.parameters().items():
            assert self.tags[name].shape == parameter.shape
            assert self.tags[name].stride() == parameter.stride()
            for number in self.optimizer.state.get(parameter, {}).values():
                assert not isinstance(number, Tensor) or number.dim() == 0 or number.shape == parameter.shape
        for module in self.net.modules():
            if isinstance(module, SparseWeightsBase):
                assert not module.weight[module.zero_mask].any()


ACTIONS = st.one_of(
    st.tuples(st.just("train"), st.integers(0, 99)),
    st.tuples(st.just("rewire"), st.floats(0, 1), st.floats(0, 0.5), st.integers(0, 99)),
    st.tuples(st.just("resize"), st.integers(0, 99), st.integers(0, 4)),
    st.tuples(st.just("reload")),
)


@settings(max_examples=40)
@given(
    kind=st.sampled_from(sorted(NETS)),
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    seed=st.integers(0, 99),
    history=st.lists(ACTIONS, max_size=6),
)
def test_numbers_stay_with_their_synapses(kind: str, optimizer: str, seed: int, history: list[Any]) -> None:
    books = Books(kind, optimizer, seed)
    train_step(books.net, books.optimizer, seed)
    for action, *details in history:
        if action == "train":
            train_step(books.net, books.optimizer, *details)
        elif action == "rewire":
            books.rewire(*details)
        elif action == "resize":
            layer = HIDDEN_LAYER.get(kind, "0")
            units = next(f.shape[0] for f in books.ledger.synapses.values() if f.layer == layer)
            order = torch.randperm(units, generator=torch.Generator().manual_seed(details[0])).tolist()
            books.resize(layer, order[: max(6, units - details[0] % 5)], details[1])
        else:
            reload(books, kind, optimizer)
        books.check()
    train_step(books.net, books.optimizer, seed + 1)
    assert all(value.isfinite().all() for value in books.ledger.current().values())


def reload(books: Books, kind: str, optimizer: str) -> None:
    """Save, build anew from another seed, rebuild, load; everything is as it was."""
    state = books.net.state_dict(), books.optimizer.state_dict(), books.ledger.state_dict(), books.ledger.structure()
    x, _ = batch(7)
    books.net.eval()
    expected = books.net(x)
    fresh = Books(kind, optimizer, 1000)
    fresh.ledger.rebuild(state[3])
    fresh.net.load_state_dict(state[0])
    fresh.optimizer.load_state_dict(state[1])
    fresh.ledger.load_state_dict(state[2])
    fresh.net.eval()
    torch.testing.assert_close(fresh.net(x), expected)
    fresh.net.train()
    books.net, books.optimizer, books.ledger, books.tags = fresh.net, fresh.optimizer, fresh.ledger, fresh.tags


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("kind", ["masked", "live", "conv"])
def test_the_momentum_of_a_dropped_synapse_is_gone_and_others_keep_theirs(kind: str, optimizer: str) -> None:
    torch.manual_seed(0)
    net = NETS[kind]()
    trained = OPTIMIZERS[optimizer](net)
    ledger = Ledger(net, trained)
    train_step(net, trained, 0)
    found = next(f for f in ledger.synapses.values() if f.stored in ("masked", "live"))
    units, inputs = found.places()
    before = {
        k: found.of_live(v).clone() for k, v in trained.state[found.parameter].items() if v is not None and v.dim()
    }
    again = (units[:3], inputs[:3])  # dropped and grown at once: numbers start anew
    ledger.rewire(found, torch.arange(5), again, torch.full((3,), 0.5))
    after = {(u, i): n for n, (u, i) in enumerate(zip(*(ids.tolist() for ids in found.places()), strict=True))}
    for key, numbers in before.items():
        now = found.of_live(trained.state[found.parameter][key])
        assert now.shape == (found.n_live,)
        for n, place in enumerate(zip(units.tolist(), inputs.tolist(), strict=True)):
            if n >= 5:
                assert now[after[place]] == numbers[n]
            elif n < 3:
                assert now[after[place]] == 0
            else:
                assert place not in after
    weights = found.of_live(found.current())
    assert all(weights[after[place]] == 0.5 for place in zip(again[0].tolist(), again[1].tolist(), strict=True))


def test_listeners_are_told() -> None:
    net = NETS["masked"]()
    ledger = Ledger(net)
    told: list[Any] = []
    ledger.listeners.append(told.append)
    found = next(iter(ledger.synapses.values()))
    ledger.rewire(found, torch.tensor([0]), (torch.tensor([], dtype=torch.long),) * 2)
    ledger.resize("0", torch.arange(19))
    (shape, moved) = told[0][found.name]
    assert shape == (20, 12)
    assert isinstance(moved, Swapped)
    assert isinstance(told[1]["2.duty_cycle"][1], Resized)


@pytest.mark.parametrize(
    ("kind", "drop", "grow", "message"),
    [
        ("dense", [0], ([], []), "wrap it in SparseWeights"),
        ("winner", [0], ([], []), "wrap it in SparseWeights"),
        ("masked", [0, 0], ([], []), "twice"),
        ("masked", [80], ([], []), "0 to"),
        ("masked", [], ([20], [0]), "0 to 19"),
        ("live", [], ([0], [12]), "0 to 11"),
        ("conv", [-1], ([], []), "0 to"),
    ],
)
def test_impossible_rewirings_are_refused_and_change_nothing(kind: str, drop: Any, grow: Any, message: str) -> None:
    net = NETS[kind]()
    ledger = Ledger(net, OPTIMIZERS["sgd"](net))
    found = next(iter(ledger.synapses.values()))
    if drop == [80]:
        drop = [found.n_live]
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    units, inputs = (torch.tensor(ids, dtype=torch.long) for ids in grow)
    with pytest.raises(ValueError, match=message):
        ledger.rewire(found, torch.tensor(drop, dtype=torch.long), (units, inputs))
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in before.items())


def test_an_old_graph_that_is_alive_does_not_stand_in_the_way() -> None:
    for kind in ("live", "dense"):
        net = NETS[kind]()
        optimizer = OPTIMIZERS["nesterov"](net)
        ledger = Ledger(net, optimizer)
        x, _ = batch(0)
        kept = net(x)  # as Avalanche keeps mb_output
        kept.sum().backward(retain_graph=True)
        if kind == "live":
            found = ledger.synapses["0.values"]
            ledger.rewire(found, torch.arange(7), (torch.tensor([], dtype=torch.long),) * 2)
        else:
            ledger.resize("0", torch.arange(3, 20))
        train_step(net, optimizer, 1)
        assert kept.grad_fn is not None
        assert all(p.grad is not None and p.grad.shape == p.shape for p in net.parameters())


def test_numbers_are_counted_and_forgotten() -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    ledger = Ledger(net)
    ledger.keep("a", "x")
    ledger.keep("a", "x")
    ledger.keep("b", "x", fresh=1.0)
    assert ledger.nbytes == 2 * 4 * (6 + 2)
    ledger.forget("a")
    assert ledger.nbytes == 4 * (6 + 2)


def test_rewiring_within_a_step_beside_other_hooks() -> None:
    class Rewire(Mechanism):
        needs = Needs.TOUCHED

        def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
            self.ledger = ledger

        def after_step(self, step: Any) -> None:
            found = self.ledger.synapses["0.values"]
            self.ledger.rewire(found, torch.tensor([0]), (torch.tensor([], dtype=torch.long),) * 2)

    net = NETS["live"]()
    optimizer = OPTIMIZERS["adam"](net)
    ledger = Ledger(net, optimizer)
    ledger.attach(Rewire())
    optimizer.register_step_post_hook(lambda *_: None)
    n = ledger.synapses["0.values"].n_live
    for step in range(3):
        train_step(net, optimizer, step)
    assert ledger.synapses["0.values"].n_live == n - 3
