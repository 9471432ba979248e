"""Experiments whose readout is solved: what they reach, what they are told, what does not matter to them."""

import numpy as np
import pytest
import torch

from benchmarks import SplitDigits
from cl_sparse.errors import UserError
from cl_sparse.layers.fixed_features import Pixels, RandomCode, RandomFourier
from cl_sparse.layers.patch_code import PatchCode
from cl_sparse.models import FixedNet
from cl_sparse.plugins import AccuracyRecorder
from cl_sparse.strategies.closed_form import ClosedFormLearner
from cl_sparse.synapses.readouts import Discriminant, Ridge

PATCHES = {"name": "patch_code", "filters": 60, "sizes": [4], "winners": 0.2, "mirror": False}


@pytest.mark.parametrize(
    ("scenario", "told", "least"),
    [
        ("class", ("boundaries", "none"), 0.96),
        ("domain", ("boundaries", "none"), 0.96),
        ("task", ("label", "label"), 0.99),
    ],
)
def test_split_digits_are_learned_in_one_pass_and_kept(make_run, tmp_path, scenario, told, least):
    run = make_run(scenario=scenario, num_batch=5, train_ep=1, plugins=[PATCHES, {"name": "discriminant"}])
    stats = run.run(tmp_path / "x.pt")
    assert np.nanmean(stats["accs"][-1]) > least
    assert (stats["task_info_train"], stats["task_info_test"]) == told
    assert stats["carried_bytes"][-1]["buffers"] == sum(b.nbytes for b in run.learner.model.buffers())
    assert stats["samples"] == [len(e.dataset) for e in run.benchmark.train_stream]
    assert stats["multiply_adds"] == {"features": 60 * 16 * 25, "readout": 540 * 10}


@pytest.mark.parametrize("kind", ["winners", "triangle"])
def test_accuracy_is_the_same_where_the_cpu_multiplies_bfloat16(make_run, tmp_path, monkeypatch, kind):
    accs = []
    for here in (True, False):
        monkeypatch.setattr("cl_sparse.layers.patch_code._multiplies_bfloat16", lambda here=here: here)
        plugins = [{**PATCHES, "code": kind}, {"name": "discriminant"}]
        stats = make_run(scenario="class", num_batch=5, train_ep=1, plugins=plugins).run(tmp_path / f"{here}.pt")
        accs.append(np.nanmean(stats["accs"][-1]))
    assert abs(accs[0] - accs[1]) < 0.01


def learner(benchmark: SplitDigits, features: torch.nn.Module) -> ClosedFormLearner:
    torch.manual_seed(0)
    net = FixedNet(features, Discriminant(features.width, range(10)))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    return ClosedFormLearner(model=net, optimizer=optimizer, train_mb_size=50, plugins=[AccuracyRecorder(5)])


@pytest.mark.parametrize(
    "make", [Pixels, lambda shape: RandomCode(shape, 200), lambda shape: RandomFourier(shape, 200)]
)
def test_the_order_of_the_tasks_does_not_matter(make):
    benchmark = SplitDigits(scenario="class")
    torch.manual_seed(0)
    features, solutions = make(benchmark.input_shape), []
    for order in ([0, 1, 2, 3, 4], [3, 0, 4, 2, 1]):
        trained = learner(benchmark, features)
        for task in order:
            trained.train(benchmark.train_stream[task])
        solutions.append(trained.model.readout)
    torch.testing.assert_close(solutions[0].weight, solutions[1].weight, rtol=1e-2, atol=1e-2)
    samples = benchmark.test_stream[0].dataset
    x = features(torch.stack([samples[i][0] for i in range(20)]))
    torch.testing.assert_close(solutions[0](x), solutions[1](x), rtol=1e-3, atol=1e-2)


def test_a_solution_that_is_not_finite_stops_the_run(make_run, tmp_path):
    run = make_run(scenario="class", num_batch=5, train_ep=1, plugins=[{"name": "pixels"}, {"name": "recursive_ridge"}])
    readout = run.learner.model.readout
    readout.joint[0, 0] = torch.inf
    stats = run.run(tmp_path / "x.pt")
    assert "after task 0 (counted from 0) is not finite" in stats["stopped"]


def test_a_readout_on_a_trained_nets_features_takes_the_place_of_its_head(make_run, tmp_path):
    fixed = [{"name": "frozen", "share": 1.0, "leave": ["classifier*"]}, {"name": "discriminant"}]
    run = make_run(scenario="class", num_batch=5, plugins=fixed, dropout=0.0, hidden_units=200)
    stats = run.run(tmp_path / "x.pt")
    assert np.nanmean(stats["accs"][-1]) > 0.7  # the net's own head ends with the last task's classes, at .2
    assert stats["carried_bytes"][-1]["OnTop"] > 0


@pytest.mark.parametrize(
    ("plugins", "more", "message"),
    [
        ([PATCHES], {}, "go with one readout"),
        ([PATCHES, {"name": "ridge"}, {"name": "frozen"}], {}, "no other method"),
        ([PATCHES, {"name": "ridge"}], {"strategy": "joint"}, "strategy sequential"),
        ([PATCHES, {"name": "ridge"}], {"train_ep": 2}, "train_ep: fixed features pass over the data once"),
        ([PATCHES, {"name": "ridge"}], {"train_ep_inc": 3}, "choose train_ep=1"),
        ([{"name": "ridge"}, {"name": "hebbian"}], {}, "one readout, not ridge, hebbian"),
        ([{**PATCHES, "sizes": [9]}, {"name": "ridge"}], {}, "too few 9×9 patches"),
        ([{**PATCHES, "filters": 30000}, {"name": "ridge"}], {}, "ridge: the sums over 270000 features need"),
        ([PATCHES, {"name": "ridge", "max_bytes": 10}], {}, "max_bytes must be at least"),
        ([{"name": "ridge"}], {"strategy": "independent"}, "one net for all tasks"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(make_run, plugins, more, message):
    with pytest.raises(UserError, match=message) as caught:
        make_run(plugins=plugins, **{"train_ep": 1, **more})
    assert "\n" not in str(caught.value)


def test_the_readout_is_used_alone_like_any_layer():
    features = PatchCode((1, 8, 8), filters=20, sizes=[3], winners=0.2)
    features.fit(torch.rand(50, 1, 8, 8), torch.Generator().manual_seed(0))
    readout = Ridge(features.width, range(3))
    readout.update(features(torch.rand(30, 1, 8, 8)), torch.arange(30) % 3)
    readout.solve()
    assert torch.nn.Sequential(features, readout)(torch.rand(4, 1, 8, 8)).shape == (4, 3)
