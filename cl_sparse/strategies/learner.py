"""The one learner: Avalanche's supervised template on the tensor data path. Every method is a list of plugins."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

import cl_sparse.compat

# isort: split
from avalanche.core import BasePlugin
from avalanche.models.utils import is_multi_task_module
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.templates import SupervisedTemplate

from cl_sparse.data import BatchLoader, ids, stream_of
from cl_sparse.data.drawn import drawn_generator
from cl_sparse.strategies.dense_methods import check_dense_methods
from cl_sparse.strategies.precision import Precision, check_precision

LossOutputs = Literal["all", "seen", "current"]


class Learner(SupervisedTemplate):
    """A model, an optimizer and plugins, trained by Avalanche's loop on mini-batches of one indexing operation each.

    ``mb_output`` is finite whatever competes. In training it holds the model's logits as they are, and the loss alone
    is restricted; in evaluation outputs that do not compete have the dtype's lowest value, so that every accuracy, ours
    or Avalanche's, is that of a prediction among those that do.

    The model is called with the batch alone or, if it is one of ours that needs them or a ``MultiTaskModule`` of
    Avalanche's, with the task labels as well. Data have to come from the streams of :mod:`benchmarks`.

    Args:
        loss_outputs: which outputs of a class-incremental net compete in the training loss: ``"all"``, those of the
            classes ``"seen"`` in training so far, or those of the ``"current"`` training data's classes and of any
            other class in the mini-batch (a replayed one). With the latter two the prediction is made among the classes
            seen so far, since the other outputs were never trained.
        evaluator: Avalanche's, with its metrics; one among the plugins will do as well. None: there are no metrics.
        plugins: ours or Avalanche's.
        keywords: as ``avalanche.training.templates.SupervisedTemplate``.

    Attributes:
        classes_seen: the labels in all data trained on so far.

    Raises:
        ValueError: there is more than one evaluator, or a method of Avalanche's, or a precision, that cannot work with
            how the model computes.
    """

    def __init__(
        self,
        *,
        loss_outputs: LossOutputs = "all",
        precision: Precision = "float32",
        evaluator: EvaluationPlugin | Callable[[], EvaluationPlugin] | None = None,
        plugins: Sequence[BasePlugin] | None = None,
        **keywords: Any,
    ) -> None:
        """Set the learner up; nothing is trained yet."""
        others, evaluators = _apart(plugins or (), evaluator)
        super().__init__(evaluator=evaluators[0] if evaluators else None, plugins=others, **keywords)
        if not evaluators:  # Avalanche makes one without metrics, which costs a small net's step a tenth more
            self.plugins.remove(self.evaluator)
        check_precision(self.model, precision)
        check_dense_methods(self.model, self.optimizer, self.plugins)
        self.loss_outputs = loss_outputs
        self.precision: Precision = precision
        self.classes_seen: set[int] = set()
        self._competing: dict[bool, Tensor | None] = {True: None, False: None}  # by whether it trains

    def make_train_dataloader(self, **_: Any) -> None:
        """Shuffle anew in every epoch, keep the last incomplete batch."""
        dataset = self.adapted_dataset
        stream, samples = stream_of(dataset), ids(dataset)
        self.dataloader = BatchLoader(stream, samples, self.train_mb_size, drawn_generator())
        targets = stream.locate(samples)[1]
        classes = set() if targets.is_floating_point() else set(torch.unique(targets).tolist())
        self.classes_seen |= classes
        self._competing[True] = self._outputs(classes if self.loss_outputs == "current" else self.classes_seen)

    def make_eval_dataloader(self, **_: Any) -> None:
        """Visit every sample once, in order."""
        dataset = self.adapted_dataset
        self.dataloader = BatchLoader(stream_of(dataset), ids(dataset), self.eval_mb_size, None)
        self._competing[False] = self._outputs(self.classes_seen)

    def forward(self) -> Tensor:
        """Return the logits of the current mini-batch, (batch, outputs); in evaluation restricted to what competes."""
        if self.is_training and self.precision == "bf16":
            with torch.autocast(self.device.type, torch.bfloat16):
                return self._logits().float()
        logits = self._logits()
        return logits if self.is_training else self._restricted(logits, torch.finfo(logits.dtype).min, self.mb_y)

    def criterion(self) -> Tensor:
        """Return the loss of the current mini-batch over the outputs that compete."""
        return self.loss_of(self.mb_output, self.mb_y)

    def loss_of(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the training loss of logits (batch, outputs) for labels (batch,), over the outputs that compete."""
        loss: Tensor = self._criterion(self._restricted(logits, -torch.inf, y), y)
        return loss

    def _logits(self) -> Tensor:
        model = self.model
        told = getattr(model, "needs_task_labels", False) or is_multi_task_module(model)
        logits: Tensor = model(self.mb_x, self.mb_task_id) if told else model(self.mb_x)
        return logits

    def _outputs(self, classes: set[int]) -> Tensor | None:
        restrict = self.loss_outputs != "all" and classes  # an untrained net predicts among all
        return torch.tensor(sorted(classes), device=self.device) if restrict else None

    def _restricted(self, logits: Tensor, elsewhere: float, y: Tensor) -> Tensor:
        """Return the logits of the outputs that compete, and ``elsewhere`` for the others."""
        competing = self._competing[self.is_training]
        if competing is None:
            return logits
        if self.is_training and self.loss_outputs == "current":
            competing = torch.unique(torch.cat([competing, y]))
        restricted = torch.full_like(logits, elsewhere)
        restricted[:, competing] = logits[:, competing]
        return restricted


def _apart(plugins: Sequence[BasePlugin], evaluator: Any) -> tuple[list[BasePlugin], list[Any]]:
    """Return the plugins that are no evaluators, and the one evaluator, if there is one."""
    evaluators = [plugin for plugin in plugins if isinstance(plugin, EvaluationPlugin)]
    evaluators += [] if evaluator is None else [evaluator]
    if len(evaluators) > 1:
        raise ValueError(f"Learner: {len(evaluators)} evaluators: give all metrics to one EvaluationPlugin")
    return [plugin for plugin in plugins if not isinstance(plugin, EvaluationPlugin)], evaluators
