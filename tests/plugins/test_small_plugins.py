"""Falling learning rates, fewer and fewer winners, nets chosen by the nearest mean, and idle synapses that stay."""

from typing import Any

import pytest
import torch
from torch import nn

from cl_sparse.errors import UserError
from cl_sparse.layers import KWinners, KWinnersBase
from cl_sparse.plugins import AnnealWinners, DecayLearningRate, Plugin, StepLearningRate
from cl_sparse.synapses import FreshSteps, Ledger


class Note(Plugin):
    """Keeps what it is told to look at, at each optimizer step."""

    def __init__(self, look: Any) -> None:
        super().__init__()
        self.look, self.seen = look, []

    def before_update(self, strategy: Any, **kwargs: Any) -> None:
        self.seen.append(self.look(strategy))


@pytest.mark.parametrize("warm_up", [0, 4])
def test_the_learning_rate_rises_and_falls_within_each_task(make_run, tmp_path, warm_up):
    run = make_run(plugins=[{"name": "decay_learning_rate", "to": 0.2, "warm_up": warm_up}], num_batch=5)
    note = Note(lambda strategy: strategy.optimizer.param_groups[0]["lr"])
    run.learner.plugins.append(note)
    stats = run.run(tmp_path / "c.pt")
    start = 0
    for steps in stats["steps"]:
        own = note.seen[start : start + steps]
        expected = torch.linspace(0.05, 0.01, steps)
        for step in range(min(warm_up, steps)):
            expected[step] *= (step + 1) / warm_up
        torch.testing.assert_close(torch.tensor(own), expected)
        start += steps
    assert start > 5 * 4
    assert run.learner.optimizer.param_groups[0]["lr"] == 0.05


def test_the_learning_rate_falls_in_steps_as_torch_s_does(make_run, tmp_path):
    plugin = {"name": "step_learning_rate", "after": [1, 3], "factor": 0.5}
    run = make_run(plugins=[plugin], num_batch=5, train_ep=4)
    note = Note(lambda strategy: strategy.optimizer.param_groups[0]["lr"])
    run.learner.plugins.append(note)
    stats = run.run(tmp_path / "c.pt")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.05)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3], gamma=0.5)
    expected = []
    for _ in range(4):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    of_epochs = [rate for rate in expected for _ in range(stats["steps"][0] // 4)]
    assert note.seen[: stats["steps"][0]] == pytest.approx(of_epochs)
    assert note.seen[stats["steps"][0]] == run.learner.optimizer.param_groups[0]["lr"] == 0.05
    with pytest.raises(UserError, match="decay_learning_rate and step_learning_rate both set it"):
        make_run(plugins=[plugin, {"name": "decay_learning_rate"}])
    with pytest.raises(ValueError, match="epochs at least 1"):
        StepLearningRate(after=[0])


def test_winners_become_fewer_in_the_first_task_only(make_run, tmp_path):
    run = make_run(
        sparsify=True, percent_on_fc=0.1, k_inference_factor=2.0, train_ep=4, plugins=[{"name": "anneal_winners"}]
    )
    layer = next(module for module in run.learner.model.modules() if isinstance(module, KWinnersBase))
    note = Note(lambda _: (layer.k, layer.k_inference))
    run.learner.plugins.append(note)
    run.run(tmp_path / "c.pt")
    steps = len(note.seen) // run.benchmark.n_tasks
    half = steps / 2
    expected = [round(50 - 45 * min(1, step / half)) for step in range(steps)] + [5] * (len(note.seen) - steps)
    assert note.seen == [(k, max(k, 10)) for k in expected]
    once = make_run(sparsify=True, percent_on_fc=0.1, train_ep=1, plugins=[{"name": "anneal_winners"}])
    layer = next(module for module in once.learner.model.modules() if isinstance(module, KWinnersBase))
    once.learner.train(once.benchmark.train_stream[0], eval_streams=[])
    assert (layer.k, layer.k_inference) == (5, 7)


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_idle_synapses_stay_where_they_are(optimizer):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 20), KWinners(20, 0.1, boost_strength=0.0), nn.Linear(20, 3))
    makers = {
        "adam": lambda p: torch.optim.AdamW(p, lr=0.01),
        "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    }
    ledger = Ledger(net, makers[optimizer](net.parameters()))
    ledger.attach(FreshSteps())
    moved = 0
    for step in range(20):
        x = torch.randn(2, 6, generator=torch.Generator().manual_seed(step))
        before = {name: value.clone() for name, value in ledger.current().items()}
        ledger.optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), torch.tensor([0, 1])).backward()
        gradients = {name: p.grad.clone() for name, p in ledger.parameters().items()}
        ledger.optimizer.step()
        for name, value in ledger.current().items():
            idle = gradients[name] == 0
            torch.testing.assert_close(value[idle], before[name][idle], rtol=1e-6, atol=1e-7)
            moved += int((value != before[name])[~idle].sum())
    assert moved > 0


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: AnnealWinners(0.0), "start must be above 0"),
        (lambda: DecayLearningRate(2.0), "to must be from 0 to 1"),
        (lambda: DecayLearningRate(0.0, -1), "warm_up at least 0"),
    ],
)
def test_numbers_out_of_range(made, said):
    with pytest.raises(ValueError, match=said):
        made()
