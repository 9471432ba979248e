"""Which outputs of a class-incremental net compete, in the loss and in the prediction."""

import pytest
import torch
from torch import nn

import cl_sparse.compat

# isort: split
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.training.plugins import EvaluationPlugin

from cl_sparse.plugins import Plugin
from cl_sparse.run.evaluate import accuracy_row
from cl_sparse.strategies.learner import LossOutputs

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


def test_an_untrained_net_predicts_among_all(make_run):
    run, watch = make_run(scenario="class", loss_outputs="seen"), Watch()
    run.learner.plugins.append(watch)
    run._measure_untrained()
    assert not (torch.cat(watch.outputs) == torch.finfo(torch.float32).min).any()
