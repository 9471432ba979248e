"""A readout on top of a net that is trained: it predicts in the place of the net's own head."""

from typing import Any

import torch
from torch import Tensor, nn

from cl_sparse.plugins.base import Plugin
from cl_sparse.plugins.batches import Batches
from cl_sparse.synapses.readouts import Readout


class OnTop(Plugin):
    """After each task, let a readout learn from the features of its data; at test its logits are the strategy's.

    The features are those after the task. Where the net goes on learning, what earlier tasks left in the readout is of
    a net that is no more: a net whose features stay (frozen synapses, fixed convolutions) is what it is for.

    Args:
        readout: of as many classes as there are rows of different meaning in ``class_of``.
        features: name of the module in the strategy's model whose output is read.
        class_of: long (tasks, labels), what the readout calls a label; None: the label itself, in every task.
        by_task: whether the task label leaves a task's classes at test.
    """

    looks_at_weights = False

    def __init__(
        self, readout: Readout, features: str = "features", class_of: Tensor | None = None, by_task: bool = False
    ) -> None:
        """Hold the readout; nothing is learned yet."""
        super().__init__()
        self.readout, self.features, self.class_of, self.by_task = readout, features, class_of, by_task
        self.uses_task_boundaries = class_of is not None
        self._seen: Tensor | None = None

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Learn from the task's data, once."""
        module: nn.Module = strategy.model.get_submodule(self.features)
        task = strategy.experience.current_experience
        trained = strategy.model.training
        strategy.model.eval()
        with torch.no_grad():
            for x, y, *_ in Batches(strategy):
                self.readout.update(_dense(module(x)), y if self.class_of is None else self.class_of[task][y])
        strategy.model.train(trained)
        self.readout.solve()

    def before_eval_forward(self, strategy: Any, **kwargs: Any) -> None:
        """Catch the features of the batch that follows."""
        module: nn.Module = strategy.model.get_submodule(self.features)
        self._hook = module.register_forward_hook(lambda _m, _i, out: setattr(self, "_seen", _dense(out)))

    def after_eval_forward(self, strategy: Any, **kwargs: Any) -> None:
        """Put the readout's logits in the place of the head's."""
        self._hook.remove()
        assert self._seen is not None
        logits = self.readout(self._seen)
        if self.by_task and self.class_of is not None:
            logits = logits.gather(1, self.class_of[strategy.mb_task_id])
        strategy.mb_output, self._seen = logits, None

    def state_dict(self) -> dict[str, Any]:
        """Return the readout's."""
        return self.readout.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self.readout.load_state_dict(state)

    def carried_bytes(self) -> int:
        """Return the bytes of its sums."""
        return sum(buffer.nbytes for buffer in self.readout.buffers())


def _dense(features: Any) -> Tensor:
    dense: Tensor = features if isinstance(features, Tensor) else features.dense()
    return dense
