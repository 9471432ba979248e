"""Which outputs of a class-incremental net compete, in the loss and in the prediction."""

import pytest
import torch
from torch import nn

import cl_sparse.compat

# isort: split
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.models import MTSimpleMLP, MultiTaskModule, as_multitask
from avalanche.models import SimpleMLP as AvalancheMLP
from avalanche.training.plugins import (
    AGEMPlugin,
    EvaluationPlugin,
    EWCPlugin,
    GEMPlugin,
    MASPlugin,
    RWalkPlugin,
)

from benchmarks import SplitDigits
from cl_sparse.models import MultiHead, SimpleMLP, SingleHead
from cl_sparse.plugins import Plugin
from cl_sparse.run.evaluate import accuracy_row
from cl_sparse.strategies import Learner, MultiTask
from cl_sparse.strategies.learner import LossOutputs
from cl_sparse.synapses import LazySGD
from tests.native import native_benchmark, silent

RESTRICTED: tuple[LossOutputs, ...] = ("seen", "current")


class Watch(Plugin):
    """Keeps logits, labels, loss and the logits' gradient of every training step, and all outputs in evaluation."""

    def __init__(self):
        super().__init__()
        self.steps, self.outputs = [], []

    def after_forward(self, strategy, **kwargs):
        strategy.mb_output.retain_grad()

    def after_backward(self, strategy, **kwargs):
        logits, loss = strategy.mb_output, strategy.loss
        self.steps.append((logits.detach(), strategy.mb_y, loss.detach(), logits.grad))

    def after_eval_forward(self, strategy, **kwargs):
        self.outputs.append(strategy.mb_output)


def watched(make_run, loss_outputs, strategy="sequential"):
    run, watch = make_run(scenario="class", loss_outputs=loss_outputs, strategy=strategy), Watch()
    run.learner.plugins.append(watch)
    for task in range(2):
        watch.steps.clear()
        run._train(task)
    run._test(1)
    return run, watch


@pytest.mark.parametrize("strategy", ["sequential", "replay"])
@pytest.mark.parametrize("loss_outputs", RESTRICTED)
def test_the_loss_sees_what_competes_and_plugins_see_finite_logits(make_run, loss_outputs, strategy):
    _, watch = watched(make_run, loss_outputs, strategy)
    for logits, y, loss, gradient in watch.steps:
        assert torch.isfinite(logits).all()
        competing = torch.arange(4) if loss_outputs == "seen" else torch.unique(torch.cat([torch.tensor([2, 3]), y]))
        again = logits.clone().requires_grad_()
        restricted = torch.full_like(again, -torch.inf)
        restricted[:, competing] = again[:, competing]
        expected = nn.CrossEntropyLoss()(restricted, y)
        expected.backward()
        assert torch.equal(loss.squeeze(), expected)
        assert torch.equal(gradient, again.grad)


@pytest.mark.parametrize("loss_outputs", RESTRICTED)
def test_predictions_are_among_the_classes_seen_and_finite(make_run, loss_outputs):
    run, watch = watched(make_run, loss_outputs)
    outputs = torch.cat(watch.outputs)
    assert torch.isfinite(outputs).all()
    assert set(outputs.argmax(dim=1).tolist()) <= run.learner.classes_seen == {0, 1, 2, 3}


def test_avalanches_own_accuracy_is_ours(make_run):
    run, _ = watched(make_run, "seen")
    evaluator = EvaluationPlugin(accuracy_metrics(experience=True), loggers=[])
    run.learner.plugins.append(evaluator)
    ours = accuracy_row(run.learner, run.recorder, run.benchmark.test_stream)
    theirs = [value for key, value in sorted(evaluator.get_last_metrics().items()) if "Top1_Acc_Exp" in key]
    assert ours.max() > 0
    assert theirs == pytest.approx(ours.tolist())


def test_evaluation_in_the_middle_of_training_leaves_the_loss_alone(make_run):
    run, _ = watched(make_run, "current")
    run.learner.train(run.benchmark.train_stream[2], eval_streams=[])
    trained = run.learner._competing[True]
    run.learner.eval(run.benchmark.test_stream)
    assert run.learner._competing[True] is trained
    assert trained.tolist() == [4, 5]


class FlatMLP(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 10))


MODELS = {
    "a chain": FlatMLP,
    "Avalanche's": lambda: AvalancheMLP(input_size=64, num_classes=10),
    "Avalanche's, multi-task": lambda: MTSimpleMLP(input_size=64),
    "Avalanche's, multi-headed": lambda: as_multitask(SimpleCNNOnDigits(), "classifier"),
    "ours, multi-headed": lambda: SimpleMLP((1, 8, 8), lambda n: MultiHead(n, 5, 2), hidden_units=30),
    "ours, multi-headed, as Avalanche's": lambda: MultiTask(
        SimpleMLP((1, 8, 8), lambda n: MultiHead(n, 5, 2), hidden_units=30)
    ),
}


class SimpleCNNOnDigits(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
        self.classifier = nn.Linear(4 * 36, 2)

    def forward(self, x):
        return self.classifier(self.features(x))


@pytest.mark.parametrize("model", MODELS)
def test_it_trains_any_model(model):
    torch.manual_seed(0)
    benchmark, net = SplitDigits(class_order="random", seed=4), MODELS[model]()
    evaluator = EvaluationPlugin(accuracy_metrics(stream=True), loggers=[])
    learner = silent(Learner, model=net, plugins=[evaluator], train_epochs=3)
    assert learner.plugins.count(evaluator) == 1
    for experience in benchmark.train_stream:
        trained = learner.train(experience, eval_streams=[])
    (accuracy,) = learner.eval(benchmark.test_stream).values()
    assert trained is not None
    told = getattr(net, "needs_task_labels", False) or isinstance(net, MultiTaskModule)
    assert accuracy > 0.75 if told else 0.3 < accuracy < 0.75, accuracy


def evaluator():
    return EvaluationPlugin(accuracy_metrics(stream=True), loggers=[])


@pytest.mark.parametrize("given", [evaluator(), evaluator])
def test_an_evaluator_is_taken_as_avalanches_strategies_take_it(given):
    learner = silent(Learner, model=FlatMLP(), evaluator=given)
    assert list(learner.eval(SplitDigits().test_stream)) == ["Top1_Acc_Stream/eval_phase/test_stream/Task004"]


def test_two_evaluators_are_refused():
    with pytest.raises(ValueError, match="Learner: 2 evaluators: give all metrics to one EvaluationPlugin"):
        silent(Learner, model=FlatMLP(), evaluator=evaluator(), plugins=[evaluator()])


def test_other_streams_are_refused_in_one_line():
    learner = silent(Learner, model=FlatMLP())
    with pytest.raises(TypeError, match="TensorDataset samples is not a part of a TaskStream: Learner trains on the"):
        learner.train(native_benchmark(SplitDigits()).train_stream[0], eval_streams=[])


def winners_net():
    return SimpleMLP(
        (1, 8, 8),
        lambda n: SingleHead(n, 10),
        hidden_units=40,
        hidden_layers=2,
        sparsify=True,
        percent_on_fc=0.1,
        compute="winners",
    )


DENSE = {
    "GEMPlugin": lambda: GEMPlugin(10, 0.5),
    "AGEMPlugin": lambda: AGEMPlugin(10, 10),
    "RWalkPlugin": lambda: RWalkPlugin(),
    "EWCPlugin": lambda: EWCPlugin(1.0),
    "MASPlugin": lambda: MASPlugin(),
}


@pytest.mark.parametrize("name", DENSE)
def test_methods_that_need_all_weights_are_refused_where_they_are_put_off(name):
    net = winners_net()
    with pytest.raises(ValueError, match=f"{name} needs the weights and gradients of all units at every step, which"):
        Learner(model=net, optimizer=LazySGD(net.parameters(), lr=0.1), plugins=[DENSE[name]()])


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_with_an_optimizer_that_puts_nothing_off_they_work_or_are_refused(name):
    torch.manual_seed(0)
    keywords = {"model": winners_net(), "plugins": [DENSE[name]()]}
    if name == "AGEMPlugin":
        with pytest.raises(ValueError, match=r'AGEMPlugin cannot flatten the gradients .* compute="reference"'):
            silent(Learner, **keywords)
        return
    learner = silent(Learner, **keywords)
    for experience in SplitDigits(scenario="class", train_subset=100).train_stream[:2]:
        learner.train(experience, eval_streams=[])


def test_an_untrained_net_predicts_among_all(make_run):
    run, watch = make_run(scenario="class", loss_outputs="seen"), Watch()
    run.learner.plugins.append(watch)
    run._measure_untrained()
    assert not (torch.cat(watch.outputs) == torch.finfo(torch.float32).min).any()
