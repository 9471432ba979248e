"""A-GEM, DER++, GDumb and LwF: each does what its paper says, and forgets less than plain training."""

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import cl_sparse.compat

# isort: split
from avalanche.training.supervised import Naive

from benchmarks import SplitDigits
from cl_sparse.data import ids
from cl_sparse.models import MultiHead, SimpleMLP, SingleHead
from cl_sparse.plugins import AveragedGradient, DarkReplay, Distillation, Dumb, Plugin
from cl_sparse.strategies import Learner, MultiTask
from cl_sparse.synapses import observing
from tests.native import native_benchmark, silent

METHODS = ["averaged_gradient", "dark_replay", "distillation", "dumb"]


class Watch(Plugin):
    """Calls a function after each backward pass, behind the others."""

    def __init__(self, seen: Any) -> None:
        super().__init__()
        self.seen = seen

    def before_update(self, strategy: Any, **kwargs: Any) -> None:
        self.seen(strategy)


def plain_net() -> nn.Module:
    torch.manual_seed(0)
    return SimpleMLP((1, 8, 8), lambda n: MultiHead(n, 5, 2), hidden_units=30)


def gradient(strategy: Any) -> torch.Tensor:
    return torch.cat(
        [torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in strategy.model.parameters()]
    )


@pytest.mark.parametrize("scenario", ["class", "domain", "task"])
@pytest.mark.parametrize("method", METHODS)
def test_it_learns_otherwise_than_plain_training_and_keeps_the_first_task(make_run, tmp_path, method, scenario):
    common = {"scenario": scenario, "train_ep": 4, "dropout": 0, "heads": "single", "momentum": 0, "nesterov": False}
    strength = {"strength": 3.0} if method == "distillation" else {}
    kept = make_run(**common, lr=0.1, plugins=[{"name": method, **strength}]).run(tmp_path / "a.pt")
    plain = make_run(**common, lr=0.1).run(tmp_path / "b.pt")
    assert not (kept["accs"][1:] == plain["accs"][1:]).all()
    if scenario == "domain":
        assert kept["accs"][-1, 0] > plain["accs"][-1, 0] + 0.05
    name = {"averaged_gradient": "AveragedGradient", "dark_replay": "DarkReplay"}.get(method, method.capitalize())
    assert kept["carried_bytes"][0][name] > 0


@pytest.mark.parametrize("scenario", ["domain", "task"])
def test_agem_never_raises_the_loss_of_what_is_stored(scenario):
    """The gradient, in all parameters and old tasks' heads, has no part against that of the stored samples, and is as
    it was where it had none.
    """
    benchmark = SplitDigits(scenario=scenario)
    agem = AveragedGradient(mem_size=64, batch_size_mem=64)
    angles = []

    class Before(Plugin):
        def before_update(self, strategy: Any, **kwargs: Any) -> None:
            self.gradient = gradient(strategy)

    def compare(strategy: Any) -> None:
        if not agem.memory:
            return
        x, y, told = agem.stream.batch(torch.cat(agem.memory))
        parameters = list(strategy.model.parameters())
        with observing(strategy.model):
            loss = nn.functional.cross_entropy(strategy.model(x, told) if scenario == "task" else strategy.model(x), y)
        found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        reference = torch.cat([part.flatten() for part in found])
        along = float(before.gradient @ reference)
        now = gradient(strategy)
        if along >= 0:
            assert torch.equal(now, before.gradient)
        else:
            expected = before.gradient - along / (reference @ reference) * reference
            torch.testing.assert_close(now, expected, rtol=1e-3, atol=1e-5)
        angles.append(along)

    before = Before()
    torch.manual_seed(0)
    net = plain_net() if scenario == "task" else nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    strategy = silent(Learner, model=net, plugins=[before, agem, Watch(compare)])
    for experience in benchmark.train_stream[:3]:
        strategy.train(experience, eval_streams=[])
    assert min(angles) < 0 < max(angles)


def test_der_keeps_a_uniform_choice_with_the_logits_of_its_moment():
    der = DarkReplay(mem_size=50)
    der._generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(400)
    for _ in range(300):
        der.seen, der.memory = 0, []
        for start in range(0, 400, 40):
            x = torch.arange(start, start + 40.0)[:, None]
            der._store(x, x[:, 0].long(), x[:, 0].long(), 2 * x)
        x, y, _, logits = der.memory
        assert len(x) == 50
        assert torch.equal(logits, 2 * x)
        assert torch.equal(y, x[:, 0].long())
        counts[y] += 1
    chance = counts / 300
    assert abs(float(chance[:50].mean()) - 0.125) < 0.01
    assert abs(float(chance[350:].mean()) - 0.125) < 0.01


def test_der_adds_both_parts_to_the_loss():
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    x, y = torch.randn(4, 3), torch.tensor([0, 1, 0, 1])
    der = DarkReplay(mem_size=4, alpha=0.3, beta=0.7)
    strategy = SimpleNamespace(
        model=net, mb_x=x, mb_y=y, mb_task_id=y * 0, mb_output=net(x), train_mb_size=8, loss=torch.tensor(1.0)
    )
    strategy._criterion = nn.functional.cross_entropy
    der.before_training_exp(strategy)
    der.before_backward(strategy)
    assert strategy.loss == 1.0
    with torch.no_grad():
        stored = net(x)
        net.weight += 1
    der.before_backward(strategy)
    expected = 1 + 0.3 * (net(x) - stored).square().mean() + 0.7 * nn.functional.cross_entropy(net(x), y)
    torch.testing.assert_close(strategy.loss, expected)


def test_gdumb_trains_a_fresh_net_on_a_balanced_memory(make_run, tmp_path):
    run = make_run(scenario="class", plugins=[{"name": "dumb", "mem_size": 40}])
    start = copy.deepcopy(run.learner.model.state_dict())
    dumb = next(plugin for plugin in run.learner.plugins if isinstance(plugin, Dumb))
    seen = []

    class First(Plugin):
        def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
            if not strategy.clock.train_exp_epochs:
                state = strategy.model.state_dict()
                assert all(torch.equal(value, start[name]) for name, value in state.items())
                seen.append([len(ids) for (ids,) in dumb.memory.values()])

    run.learner.plugins.append(First())
    stats = run.run(tmp_path / "c.pt")
    assert seen == [[20] * 2, [10] * 4, [7] * 4 + [6] * 2, [5] * 8, [4] * 10]
    assert stats["samples"] == [80] * 5
    own = [set(ids(experience.dataset).tolist()) for experience in run.benchmark.train_stream]
    assert all(set(kept.tolist()) <= own[place // 2] for place, (kept,) in enumerate(dumb.memory.values()))


def test_gdumb_stores_every_task_where_all_have_the_same_classes(make_run, tmp_path):
    """Else the first task would fill every class's share."""
    run = make_run(scenario="domain", plugins=[{"name": "dumb", "mem_size": 41}])
    dumb = next(plugin for plugin in run.learner.plugins if isinstance(plugin, Dumb))
    run.run(tmp_path / "c.pt")
    assert [[len(ids) for ids in kept] for kept in dumb.memory.values()] == [[5, 4, 4, 4, 4], [4] * 5]
    own = [set(ids(experience.dataset).tolist()) for experience in run.benchmark.train_stream]
    assert all(set(kept[task].tolist()) <= own[task] for kept in dumb.memory.values() for task in range(5))


def test_distillation_is_the_papers_loss():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4))
    lwf = Distillation(strength=0.5, temperature=3.0, balanced=True)
    x = torch.randn(5, 3)
    experience = SimpleNamespace(current_experience=0, task_labels=[0], classes_in_this_experience=range(4))
    strategy = SimpleNamespace(model=net, mb_x=x, mb_y=None, mb_task_id=None, experience=experience)
    lwf.after_training_exp(strategy)
    old = net(x).detach()
    with torch.no_grad():
        net[0].weight += torch.randn(4, 3)
    experience.current_experience = 1
    strategy.mb_output, strategy.loss = net(x), torch.tensor(2.0)
    lwf.before_backward(strategy)
    p, q = (old / 3).softmax(1), (net(x) / 3).softmax(1)
    part = 0.5 * 9 * (p * (p.log() - q.log())).sum(1).mean()
    torch.testing.assert_close(strategy.loss, 2.0 / 2 + part / 2)


def test_distillation_leaves_new_classes_free_where_they_have_outputs_of_their_own():
    lwf = Distillation()
    strategy = silent(Learner, model=SimpleMLP((1, 8, 8), lambda n: SingleHead(n, 10), hidden_units=9), plugins=[lwf])
    free, held = [], []

    class Added(Plugin):
        def before_backward(self, strategy: Any, **kwargs: Any) -> None:
            strategy.mb_output.retain_grad()

        def before_update(self, strategy: Any, **kwargs: Any) -> None:
            found = strategy.mb_output.grad.clone()
            (plain,) = torch.autograd.grad(strategy.criterion(), strategy.mb_output)
            added = (found - plain).abs().sum(0)
            free.append(float(added[2:].max()))
            held.append(float(added[:2].max()))

    strategy.plugins.append(Added())
    stream = SplitDigits(scenario="class").train_stream
    strategy.train(stream[0], eval_streams=[])
    assert lwf._classes == [0, 1]
    free.clear(), held.clear()
    strategy.train(stream[1], eval_streams=[])
    assert max(free) < 1e-6 < 1e-3 < max(held)
    assert lwf._classes == [0, 1, 2, 3]


def test_distillation_holds_the_heads_of_earlier_tasks():
    """With a head per task the loss is a sum over earlier heads, each fed the new data."""
    benchmark = SplitDigits(scenario="task")
    lwf = Distillation()
    losses = []

    class After(Plugin):
        def before_backward(self, strategy: Any, **kwargs: Any) -> None:
            losses.append(float(strategy.loss.detach()))

    strategy = silent(Learner, model=plain_net(), plugins=[lwf, After()])
    for experience in benchmark.train_stream[:3]:
        strategy.train(experience, eval_streams=[])
    assert lwf._tasks == [0, 1, 2]
    heads = strategy.model.classifier.heads
    assert heads[0].weight.grad is not None  # the third task's steps moved the first head too


@pytest.mark.parametrize("method", [DarkReplay, Distillation])
def test_in_avalanches_own_strategy_on_its_own_stream(method):
    stream = native_benchmark(SplitDigits(scenario="task")).train_stream
    strategy = silent(Naive, model=MultiTask(plain_net()), plugins=[method()])
    for experience in stream[:3]:
        strategy.train(experience, eval_streams=[])
    assert next(p for p in strategy.plugins if isinstance(p, method)).carried_bytes() > 0


@pytest.mark.parametrize("method", [AveragedGradient, Dumb])
def test_other_streams_are_refused_where_they_are_not_known(method):
    stream = native_benchmark(SplitDigits(scenario="domain")).train_stream
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    strategy = silent(Naive, model=net, plugins=[method()])
    with pytest.raises(ValueError, match=rf"{method.__name__} needs a stream of the package benchmarks"):
        strategy.train(stream[0], eval_streams=[])


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: DarkReplay(alpha=-1), "alpha and beta must be at least 0"),
        (lambda: DarkReplay(mem_size=0), "at least 1"),
        (lambda: Distillation(temperature=0), "temperature above 0"),
        (lambda: Dumb(0), "at least 1"),
    ],
)
def test_numbers_out_of_range(made, said):
    with pytest.raises(ValueError, match=said):
        made()
