"""The shape all models share: features, then a classifier that may look at the task labels."""

import torch
from torch import Tensor, nn

from cl_sparse.layers.consumers import WEIGHT_LAYERS, Consumers, consumers_of
from cl_sparse.models.heads import Head


class FeatureClassifier(nn.Module):
    """Features (the batch only) followed by a head (features and, if it needs them, task labels)."""

    def __init__(self, features: nn.Sequential, classifier: Head) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier

    @property
    def needs_task_labels(self) -> bool:
        """Whether :meth:`forward` has to be given the task labels."""
        return self.classifier.needs_task_labels

    @property
    def n_outputs(self) -> int:
        """Number of logits per sample."""
        return self.classifier.n_outputs

    def consumers(self) -> dict[str, Consumers]:
        """Return, for each layer below the head, who consumes its units, by name."""
        readers = [name for name, module in self.classifier.named_modules() if isinstance(module, WEIGHT_LAYERS)]
        outermost = [name for name in readers if name.rpartition(".")[0] not in readers]  # of a masked one its mask
        return consumers_of([("features", self.features)], [f"classifier.{name}" for name in outermost])

    def forward(self, x: Tensor, task_labels: Tensor | None = None) -> Tensor:
        """Return the logits (B, n_outputs) of a batch (B, ...); ``task_labels`` (B,) choose among the heads.

        Raises:
            ValueError: the head needs task labels, and there are none or wrong ones.
        """
        logits: Tensor = self.classifier(self.features(x), task_labels)
        return logits


class ImageClassifier(FeatureClassifier):
    """A net of convolutions. Its maps lie channels last in memory: on a CPU a step takes a quarter less time so."""

    def forward(self, x: Tensor, task_labels: Tensor | None = None) -> Tensor:
        """Return the logits (B, n_outputs) of images (B, C, H, W), see ``FeatureClassifier``."""
        return super().forward(x.contiguous(memory_format=torch.channels_last), task_labels)
