"""What every plugin of ours promises beside Avalanche's hooks: its state can be saved, and weighed."""

from typing import Any

from torch import Tensor

import cl_sparse.compat

# isort: split
from avalanche.training.plugins import SupervisedPlugin


class Plugin(SupervisedPlugin, supports_distributed=False):  # type: ignore[call-arg]  # Avalanche is untyped
    """An Avalanche plugin whose state survives a checkpoint.

    A plugin that keeps anything from one task to the next overrides all three methods; others inherit "nothing kept".
    """

    uses_task_boundaries: bool = False
    """True if the method is told where one task ends and the next begins."""

    looks_at_weights: bool = True
    """False if the method neither reads nor changes weights or gradients, so that these may be sparse or late."""

    acts_last: bool = False
    """True if the method watches what all others have done: at each moment its turn comes after theirs."""

    def state_dict(self) -> dict[str, Any]:
        """Return what must survive a restart: tensors, numbers, strings, lists and dicts of these."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises:
            ValueError: if the state holds keys this plugin does not know.
        """
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, but the checkpoint holds {sorted(state)}")

    def carried_bytes(self) -> int:
        """Return the bytes of memory this plugin carries from task to task."""
        return 0


def loss_of(strategy: Any, logits: Tensor, y: Tensor) -> Tensor:
    """Return the mean training loss of logits (batch, outputs) for labels (batch,), over the outputs that compete."""
    own = getattr(strategy, "loss_of", None)  # of our learner, which may restrict what competes
    loss: Tensor = strategy._criterion(logits, y) if own is None else own(logits, y)
    return loss
