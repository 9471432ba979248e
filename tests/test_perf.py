"""The measurements' document is what their figures say. Nothing here is timed."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from perf import document, filter_memory, network_size
from perf.scipy_set import ScipySET
from perf.slower import where_dense_wins
from perf.sparse_nets import DENSE, NETS, STREAMED, Shape, inference, training_step
from perf.timing import interleave, ratio

ROOT = Path(__file__).resolve().parent.parent


def test_the_document_is_current(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    source = Path("docs/performance.json")
    document.write(json.loads(source.read_text()), source, tmp_path / "performance.md")
    assert (tmp_path / "performance.md").read_text() == Path("docs/performance.md").read_text()
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert drawn == {path.name for path in Path("docs/figures").glob("performance_*.png")}


def test_where_dense_is_faster_is_listed():
    point = {"hidden layers": 1, "width": 256, "masks, fused SGD: ms": 1.0, "winners: ms": 2.0}
    crossover = [point | {"share": 0.2, "masks to winners": 0.5}, point | {"share": 0.01, "masks to winners": 2.0}]
    net = {"width": 4000, "density": 0.5, "share of winners": 0.05, "ms": 100.0}
    density = [
        net | {"contender": STREAMED, "faster than dense": 0.8},
        net | {"contender": DENSE, "faster than dense": 0.9},
        net | {"contender": STREAMED, "faster than dense": 1.2},
    ]
    lines = where_dense_wins({"crossover": {"rows": crossover}, "density": {"rows": density}})
    assert len(lines) == 2
    assert "20.0% winners" in lines[0]
    assert "dense takes 80 ms" in lines[1]


@pytest.mark.parametrize("name", NETS)
def test_every_contender_trains_and_infers(name):
    torch.manual_seed(0)
    net = NETS[name](Shape(200, 40, 20, 10))
    x, y = torch.randn(8, 784), torch.randint(10, (8,))
    before = [p.detach().clone() for p in net.parameters()]
    training_step(name, net, x, y)()
    inference(net, x)()
    assert any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_removing_dead_units_gives_back_what_they_held():
    sizes = [network_size.held(*network_size.filtered(collect, width=40)) for collect in (False, True)]
    layers = [784, 40, 40, 10]
    few = [784, 10, 10, 10]
    weights = [sum(a * b + b for a, b in pairwise(w)) + 2 * w[1] for w in (layers, few)]
    steps = 4 * (6 + 2)  # Adam counts its steps for each parameter
    assert sizes == [3 * 4 * n + steps for n in weights]


def test_contenders_run_in_turn_and_ratios_pair_the_rounds():
    calls = []
    timings = interleave({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    assert "".join(calls) == "ab" * 4
    assert ratio(timings, "a", "a") == 1


def test_a_folded_filter_has_the_gradients_of_the_layer_and_keeps_no_map():
    torch.manual_seed(0)
    conv, unit_filter = filter_memory.filtered("layer", 2, channels=4)
    (folded,) = filter_memory.filtered("folded", 2, channels=4)
    unit_filter.filter.data.uniform_(-0.5, 1)
    folded.conv.load_state_dict(conv.state_dict())
    folded.unit_filter.load_state_dict(unit_filter.state_dict())
    x, slope = torch.randn(3, 2, 6, 6), torch.randn(3, 4, 6, 6)
    outputs = unit_filter(conv(x)), folded(x)
    torch.testing.assert_close(*outputs)
    for output in outputs:
        (output * slope).sum().backward()
    for one, other in ((conv, folded.conv), (unit_filter, folded.unit_filter)):
        for parameter, twin in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, twin.grad, rtol=1e-4, atol=1e-4)
    kept = {contender: filter_memory.kept_for_gradients(contender) for contender in filter_memory.CONTENDERS}
    maps = 4 * 128 * 75 * (28**2 + 14**2)  # of both convolutions
    assert kept["layer"] - kept["no filter"] == pytest.approx(maps, rel=0.02)
    assert kept["folded"] - kept["no filter"] < 0.02 * maps


def test_set_in_scipy_is_what_autograd_says():
    net = ScipySET([6, 9, 8, 3], epsilon=2)
    x, y = torch.randn(5, 6), torch.randint(3, (5,))
    weights = [torch.tensor(weight.toarray(), requires_grad=True) for weight in net.weights]
    h = x
    for number, weight in enumerate(weights, start=1):
        h = h @ weight if number == 3 else (h @ weight).relu()
    torch.nn.functional.cross_entropy(h, y).backward()
    of_weights, _ = net.gradients(x.numpy(), y.numpy())
    for weight, places, gradient in zip(weights, net.places, of_weights, strict=True):
        torch.testing.assert_close(weight.grad[tuple(map(torch.from_numpy, places))], torch.from_numpy(gradient))
    counts = [weight.nnz for weight in net.weights]
    net.step(x.numpy(), y.numpy())
    old = [weight.toarray() for weight in net.weights]
    net.evolve()
    assert [weight.nnz for weight in net.weights] == counts == [30, 34, 22]
    net.gradients(x.numpy(), y.numpy())
    for before, weight, moment in zip(old, net.weights, net.moments, strict=True):
        stayed = (before != 0) & (weight.toarray() == before)
        assert stayed.sum() >= weight.nnz - round(0.3 * weight.nnz) - 1
        assert (moment == 0).sum() >= weight.nnz - stayed.sum()
