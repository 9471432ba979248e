"""Our multi-headed models in Avalanche's strategies."""

import copy

import pytest
import torch

import cl_sparse.compat

# isort: split
from avalanche.training import EWC, LwF, Naive

from benchmarks import SplitDigits
from cl_sparse.models import IndependentNets, MaskedHead, MultiHead, SimpleMLP, SingleHead
from cl_sparse.strategies import Learner, MultiTask
from cl_sparse.synapses import Ledger
from tests.native import native_benchmark, silent

CLASSES = [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


def mlp(head):
    return SimpleMLP((1, 8, 8), head, hidden_units=30)


NETS = {
    "MultiHead": lambda: mlp(lambda n: MultiHead(n, 5, 2)),
    "MaskedHead": lambda: mlp(lambda n: MaskedHead(n, CLASSES)),
    "IndependentNets": lambda: IndependentNets(mlp(lambda n: SingleHead(n, 2)) for _ in range(5)),
}


def accuracies(net, benchmark):
    net.eval()
    with torch.no_grad():
        batches = [stream_batch(benchmark, task) for task in range(5)]
        return [float((net(x, t).argmax(1) == y).double().mean()) for x, y, t in batches]


def stream_batch(benchmark, task):
    stream = benchmark.tensors["test"]
    return stream.batch(stream.task_ids(task))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("native", [False, True])
def test_every_head_is_trained_on_its_task(name, native):
    torch.manual_seed(0)
    benchmark, net = SplitDigits(), NETS[name]()
    strategy = silent(Naive, model=MultiTask(net), train_epochs=5)
    for experience in (native_benchmark(benchmark) if native else benchmark).train_stream:
        strategy.train(experience, eval_streams=[])
    assert min(accuracies(net, benchmark)) > 0.55
    assert sum(accuracies(net, benchmark)) > 4
    assert strategy.model.known_train_tasks_labels == set(range(5))


@pytest.mark.parametrize(("kind", "arguments"), [(EWC, {"ewc_lambda": 0.1}), (LwF, {"alpha": 1, "temperature": 2})])
def test_methods_that_ask_for_all_heads(kind, arguments):
    torch.manual_seed(0)
    net = MultiTask(NETS["MultiHead"]())
    strategy = silent(kind, model=net, **arguments)
    for experience in SplitDigits(train_subset=200).train_stream[:3]:
        strategy.train(experience, eval_streams=[])
    x = torch.randn(4, 1, 8, 8)
    assert sorted(net(x)) == [0, 1, 2]
    assert torch.equal(net(x, 1), net(x, torch.full((4,), 1)))
    assert torch.equal(net(x)[2], net.model(x, torch.full((4,), 2)))


def test_avalanches_loop_and_ours_agree():
    benchmark, net = SplitDigits(train_subset=200), NETS["MultiHead"]()
    nets = [copy.deepcopy(net), MultiTask(copy.deepcopy(net))]
    for kind, model in zip((Learner, Naive), nets, strict=True):
        strategy = silent(kind, model=model, train_mb_size=1000)  # a batch is a task: its order does not matter
        for experience in benchmark.train_stream:
            strategy.train(experience, eval_streams=[])
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_without_it_they_say_what_to_do():
    strategy = silent(Naive, model=NETS["MultiHead"]())
    with pytest.raises(ValueError, match=r"needs the task labels .* cl_sparse.strategies.MultiTask\(model\)"):
        strategy.train(SplitDigits().train_stream[0], eval_streams=[])


def test_units_can_be_added():
    net = MultiTask(NETS["MultiHead"]())
    Ledger(net).resize("model.features.fc1", torch.arange(30), add=2)
    assert net.model.classifier.heads[3].weight.shape == (2, 32)
