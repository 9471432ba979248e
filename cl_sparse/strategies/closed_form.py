"""A learner that passes once over each task's data and solves its readout, without any gradient."""

from typing import Any

import torch
from torch import Tensor

from cl_sparse.data import BatchLoader, ids, stream_of
from cl_sparse.errors import UserError
from cl_sparse.models.fixed import FixedNet
from cl_sparse.plugins.divergence import DivergedError
from cl_sparse.strategies.kept_features import KeptFeatures
from cl_sparse.strategies.learner import Learner
from cl_sparse.synapses.readouts import Readout


class ClosedFormLearner(Learner):
    """:class:`Learner` for fixed features and a readout: one pass over each task, in Avalanche's loop.

    The features are learned, if they have to be, from the first experience's data before it passes. What the readout
    calls a class is a label, or, where labels mean other things in every task, the label in its task: that is what the
    learner is told of the tasks in training, and nothing at test.

    Args:
        model: a :class:`FixedNet` whose readout is a :class:`cl_sparse.synapses.readouts.Readout`.
        class_of: long (tasks, labels), what the readout calls a label; None: the label itself, in every task.
        generator: draws what the features are learned from.
        keywords: as :class:`Learner`.
    """

    model: FixedNet

    def __init__(
        self,
        *,
        model: FixedNet,
        generator: torch.Generator | None = None,
        class_of: torch.Tensor | None = None,
        **keywords: Any,
    ) -> None:
        """Set the learner up; nothing is learned yet."""
        super().__init__(model=model, train_epochs=1, **keywords)
        self.class_of = class_of
        self.generator = generator or torch.Generator().manual_seed(0)
        self._kept: KeptFeatures | None = None

    def forward(self) -> Tensor:
        """Return the logits of the current mini-batch, (batch, outputs); a test sample's features are computed once."""
        features = self.model.features
        if self.is_training or not features.fitted:
            return super().forward()
        self._kept = self._kept or KeptFeatures(features)
        logits = self.model.logits(self._kept(self.mb_x), self.mb_task_id)
        return self._restricted(logits, torch.finfo(logits.dtype).min, self.mb_y)

    def training_epoch(self, **kwargs: Any) -> None:
        """Pass over the experience's data, then solve.

        Raises:
            DivergedError: sums or weights are beyond what 32 bits hold.
            UserError: the features cannot learn from such samples.
        """
        readout = self.model.readout
        assert isinstance(readout, Readout)
        if not self.model.features.fitted:
            self._fit_features()
        self.model.eval()
        for self.mbatch in self.dataloader:  # noqa: B020 (as Avalanche's own loops)
            self._unpack_minibatch()
            self._before_training_iteration(**kwargs)
            self._before_forward(**kwargs)
            features = self.model.features(self.mb_x)
            readout.update(features, self._classes())
            self._after_forward(**kwargs)
            self._after_training_iteration(**kwargs)
        readout.solve()
        if not readout.weight.isfinite().all():
            task = self.experience.current_experience
            raise DivergedError(f"the solution after task {task} (counted from 0) is not finite: scale the data down")

    def _classes(self) -> Tensor:
        """Return the readout's classes of the mini-batch."""
        labels: Tensor = self.mb_y
        return labels if self.class_of is None else self.class_of[self.experience.current_experience][labels]

    def _fit_features(self) -> None:
        stream, samples = stream_of(self.adapted_dataset), ids(self.adapted_dataset)
        features = self.model.features
        drawn = samples[torch.randperm(len(samples), generator=self.generator)[: features.samples]]
        batches = BatchLoader(stream, drawn, self.train_mb_size)
        try:
            features.fit(torch.cat([batch[0] for batch in batches]), self.generator)
        except ValueError as error:
            raise UserError(str(error)) from error
