import pytest
import torch
from torch import nn

from cl_sparse.errors import UserError
from cl_sparse.layers.inferred_contexts import InferredContexts
from cl_sparse.models import IndependentNets, MultiHead, SimpleMLP
from cl_sparse.synapses import Ledger
from cl_sparse.synapses.context_means import ContextMeans


def a_net(n_tasks=3):
    return SimpleMLP((12,), lambda features: MultiHead(features, n_tasks, 4), hidden_units=8)


def test_the_nearest_mean_tells_the_task():
    torch.manual_seed(0)
    net = ContextMeans().wrap(a_net(), 3)
    batches = [torch.randn(50, 12) + 3 * torch.eye(12)[task] for task in range(3)]
    assert net.infer(batches[2]).tolist() == [0] * 50
    for task in (2, 0):  # the second task is never seen
        for part in batches[task].split(7):
            net.see(part, task)
    torch.testing.assert_close(net.means[2], batches[2].mean(0))
    means = {task: batches[task].mean(0) for task in (0, 2)}
    for x in torch.cat(batches):
        nearest = min(means, key=lambda task: float((x - means[task]).norm()))
        assert net.infer(x[None]).item() == nearest


def test_the_task_under_way_is_trained_and_labels_are_not_looked_at():
    torch.manual_seed(0)
    net = ContextMeans().wrap(a_net(), 3)
    ledger = Ledger(net, torch.optim.SGD(net.parameters(), lr=0.1))
    ledger.attach(ContextMeans())
    x = torch.randn(20, 12) + 2 * torch.eye(12)[1]
    ledger.before_task(1, [(x, torch.zeros(20))])
    assert net.training_task == 1
    right = net.net(x, torch.ones(20, dtype=torch.long))
    assert torch.equal(net(x, torch.zeros(20, dtype=torch.long)), right)
    net.eval()
    assert torch.equal(net(x, torch.full((20,), 2)), net.net(x, net.infer(x)))
    assert net.infer(x).tolist() == [1] * 20
    fresh = ContextMeans().wrap(a_net(), 3)
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(fresh.eval()(x), net(x))


def test_one_net_for_all_tasks_has_nothing_to_infer():
    with pytest.raises(ValueError, match="nothing in the net depends on the task"):
        ContextMeans().wrap(nn.Sequential(nn.Linear(12, 3)), 3)
    with pytest.raises(ValueError, match=r"the net that wrap\(net, n_tasks\) returns"):
        Ledger(a_net(), None).attach(ContextMeans())


def test_the_net_is_that_of_the_nearest_mean(make_run, tmp_path):
    run = make_run(benchmark="PermutedDigits", num_batch=4, strategy="independent_inferred")
    model = run.learner.model
    assert isinstance(model, InferredContexts)
    assert isinstance(model.net, IndependentNets)
    stats = run.run(tmp_path / "c.pt")
    assert (stats["task_info_train"], stats["task_info_test"]) == ("boundaries", "inferred per sample")
    right = []
    for task, (train, test) in enumerate(zip(run.benchmark.train_stream, run.benchmark.test_stream, strict=True)):
        x = torch.stack([sample[0] for sample in train.dataset])
        torch.testing.assert_close(model.means[task], x.flatten(1).mean(0), rtol=1e-4, atol=1e-5)
        x = torch.stack([sample[0] for sample in test.dataset])
        right.append((model.infer(x) == task).float().mean())
        model.eval()
        nets = torch.stack([net.eval()(x) for net in model.net.nets])
        torch.testing.assert_close(model(x), nets[model.infer(x), torch.arange(len(x))])
    assert float(torch.stack(right).min()) > 0.95
    learned = [row[task] for task, row in enumerate(stats["accs"])]
    assert stats["accs"][-1].mean() > sum(learned) / 4 - 0.05


PARTS = {
    "context_gates": {},
    "hard_attention": {},
    "packed": {},
    "winning_subnetworks": {},
    "supermasks": {},
}


@pytest.mark.parametrize("name", PARTS)
def test_any_part_of_a_net_can_be_inferred(make_run, tmp_path, name):
    told = {"benchmark": "PermutedDigits", "num_batch": 3, "scenario": "task", "plugins": [{"name": name}]}
    labels = make_run(**told).run(tmp_path / "a.pt")
    told |= {"scenario": "domain", "plugins": [*told["plugins"], {"name": "context_means"}]}
    inferred = make_run(**told).run(tmp_path / "b.pt")
    assert (inferred["task_info_train"], inferred["task_info_test"]) == ("boundaries", "inferred per sample")
    for task, row in enumerate(inferred["accs"]):  # the same net, but for the few samples that go astray
        assert row[: task + 1] == pytest.approx(labels["accs"][task][: task + 1], abs=0.06)


def test_the_order_of_plugins_matters(make_run):
    plugins = [{"name": "context_means"}, {"name": "packed"}]
    with pytest.raises(UserError, match="context_means: nothing in the net depends on the task"):
        make_run(benchmark="PermutedDigits", plugins=plugins)
    with pytest.raises(UserError, match="packed: what infers the task has to be named after it"):
        make_run(plugins=plugins)
