"""The one learner: Avalanche's supervised template on the tensor data path. Every method is a list of plugins."""

from typing import Any, Literal

import torch
from torch import Tensor

import cl_sparse.compat

# isort: split
from avalanche.training.templates import SupervisedTemplate

from cl_sparse.data import BatchLoader, ids, stream_of
from cl_sparse.data.drawn import drawn_generator

LossOutputs = Literal["all", "seen", "current"]


class Learner(SupervisedTemplate):
    """A model, an optimizer and plugins, trained by Avalanche's loop on mini-batches of one indexing operation each.

    Args:
        loss_outputs: which outputs of a class-incremental net compete in the training loss: ``"all"``, those of the
            classes ``"seen"`` in the stream so far, or those of the ``"current"`` training data's classes and of any
            other class in the mini-batch (a replayed one). With the latter two the prediction is made among the classes
            seen so far, since the other outputs were never trained.
        keywords: as ``avalanche.training.templates.SupervisedTemplate``.
    """

    def __init__(self, *, loss_outputs: LossOutputs = "all", **keywords: Any) -> None:
        """Set the learner up; nothing is trained yet."""
        super().__init__(evaluator=None, **keywords)
        # Avalanche makes an evaluator without metrics, which costs a small net's step a tenth more.
        self.plugins.remove(self.evaluator)
        self.loss_outputs = loss_outputs
        self._competing: Tensor | None = None

    def make_train_dataloader(self, **_: Any) -> None:
        """Shuffle anew in every epoch, keep the last incomplete batch."""
        dataset = self.adapted_dataset
        self.dataloader = BatchLoader(stream_of(dataset), ids(dataset), self.train_mb_size, drawn_generator())
        if self.loss_outputs == "current":
            self._competing = torch.tensor(sorted(dataset.targets.uniques), device=self.device)
        elif self.loss_outputs == "seen":
            self._competing = self._classes_seen(self.experience.current_experience + 1)

    def make_eval_dataloader(self, **_: Any) -> None:
        """Visit every sample once, in order."""
        dataset = self.adapted_dataset
        self.dataloader = BatchLoader(stream_of(dataset), ids(dataset), self.eval_mb_size, None)
        trained = self.clock.train_exp_counter
        if self.loss_outputs != "all":
            self._competing = self._classes_seen(trained) if trained else None

    def forward(self) -> Tensor:
        """Return the logits of the current mini-batch; outputs that do not compete are -inf."""
        model = self.model
        logits: Tensor = model(self.mb_x, self.mb_task_id) if model.needs_task_labels else model(self.mb_x)
        if self._competing is None:
            return logits
        competing = self._competing
        if self.is_training and self.loss_outputs == "current":
            competing = torch.unique(torch.cat([competing, self.mb_y]))
        restricted = torch.full_like(logits, -torch.inf)
        restricted[:, competing] = logits[:, competing]
        return restricted

    def _classes_seen(self, n_tasks: int) -> Tensor:
        stream = self.experience.origin_stream.benchmark.train_stream
        seen = set().union(*(experience.classes_in_this_experience for experience in stream[:n_tasks]))
        return torch.tensor(sorted(seen), device=self.device)
