"""One network per task: nothing is shared, nothing is forgotten, and the parameters grow with the tasks."""

from collections.abc import Iterable

from torch import Tensor, nn

from cl_sparse.layers.consumers import Consumers
from cl_sparse.layers.routing import route
from cl_sparse.models.base import FeatureClassifier


class IndependentNets(nn.Module):
    """A network of its own for each task, all there from the start.

    Args:
        nets: one network per task, each called with the samples of its task only, and all with equally many outputs.
    """

    needs_task_labels = True

    def __init__(self, nets: Iterable[nn.Module]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def consumers(self) -> dict[str, Consumers]:
        """Return, for each layer of each net, who consumes its units, by name."""
        found: dict[str, Consumers] = {}
        for number, net in enumerate(self.nets):
            assert isinstance(net, FeatureClassifier)
            within = f"nets.{number}"
            found |= {f"{within}.{layer}": own.within(within) for layer, own in net.consumers().items()}
        return found

    def forward(self, x: Tensor, task_labels: Tensor | None = None) -> Tensor:
        """Return the logits of each sample of ``x`` (B, ...) from the net of its task, ``task_labels`` (B,).

        Raises:
            ValueError: no task labels, or one without a net.
        """
        return route(self.nets, x, task_labels)
