"""Learning without forgetting: new data must not change what the net of before said of them."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from cl_sparse.plugins.base import Plugin
from cl_sparse.synapses.observing import observing
from cl_sparse.synapses.passes import logits_of, needs_labels


class Distillation(Plugin):
    """Learning without forgetting (Li and Hoiem 2016).

    A copy of the net is kept as it was after the last task. The loss gets, for each mini-batch, T²·KL(old‖new) between
    the softmax at temperature T of its outputs and the net's (their eq. 3 up to a constant; T² keeps gradients
    comparable, Hinton et al. 2015), summed over the heads of the earlier tasks where each task has its own. With one
    head it is over the outputs of the classes seen until then: in a class-incremental stream the new ones' are free.
    The authors train a new head alone at first; here all weights are trained from the start.

    Works with any strategy of Avalanche's whose loss is ``strategy.loss`` before the backward pass.

    Args:
        strength: of that part, at least 0.
        temperature: T, above 0.
        balanced: weigh the new loss 1/t and that part (1 − 1/t)·strength in the t-th task (van de Ven and Tolias 2018).

    Raises:
        ValueError: a number is out of range.
    """

    uses_task_boundaries = True
    looks_at_weights = False

    def __init__(self, strength: float = 1.0, temperature: float = 2.0, balanced: bool = False) -> None:
        super().__init__()
        if not strength >= 0 or not temperature > 0:
            raise ValueError(f"strength must be at least 0 and temperature above 0, not {strength} and {temperature}")
        self.strength, self.temperature, self.balanced = strength, temperature, balanced
        self._old: nn.Module | None = None
        self._weights: dict[str, Tensor] | None = None  # of the old net, to be put into a copy
        self._tasks: list[int] = []  # labels of those that have a head of their own
        self._classes: list[int] = []  # seen when the old net was kept

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Put together the net of before, if the run has just been resumed."""
        if self._old is None and self._weights is not None:
            self._keep(strategy.model)

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        """Add the distillation."""
        if self._old is None:
            return
        old = torch.cat([self._old_logits(x) for x in self._asked(strategy)], 0)
        new = self._new_logits(strategy)
        if self._classes:
            old, new = old[:, self._classes], new[:, self._classes]
        t = self.temperature
        divergence = nn.functional.kl_div(
            (new / t).log_softmax(1), (old / t).log_softmax(1), reduction="sum", log_target=True
        )
        part = self.strength * t * t * divergence / len(strategy.mb_x)
        n = strategy.experience.current_experience + 1
        strategy.loss = strategy.loss / n + (1 - 1 / n) * part if self.balanced else strategy.loss + part

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Keep the net as it is now."""
        if needs_labels(strategy.model):
            self._tasks = sorted({*self._tasks, *strategy.experience.task_labels})
        else:
            self._classes = sorted({*self._classes, *_classes_of(strategy)})
        self._weights = {name: value.detach().clone() for name, value in strategy.model.state_dict().items()}
        self._keep(strategy.model)

    def _keep(self, model: nn.Module) -> None:
        old = copy.deepcopy(model)
        assert self._weights is not None
        old.load_state_dict(self._weights)
        self._old = old.requires_grad_(False)

    def _asked(self, strategy: Any) -> list[tuple[Tensor, ...]]:
        x, y, told = strategy.mb_x, strategy.mb_y, strategy.mb_task_id
        return [(x, y, torch.full_like(told, task)) for task in self._tasks] or [(x, y, told)]

    @torch.no_grad()
    def _old_logits(self, batch: tuple[Tensor, ...]) -> Tensor:
        assert self._old is not None
        with observing(self._old):
            return logits_of(self._old, batch)

    def _new_logits(self, strategy: Any) -> Tensor:
        if not self._tasks:
            output: Tensor = strategy.mb_output
            return output
        return torch.cat([logits_of(strategy.model, batch) for batch in self._asked(strategy)], 0)

    def state_dict(self) -> dict[str, Any]:
        """Return the weights of the net that is kept."""
        return {"weights": self._weights, "tasks": self._tasks, "classes": self._classes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them; the net is put together when training goes on."""
        self._weights, self._tasks, self._classes = state["weights"], state["tasks"], state["classes"]
        self._old = None

    def carried_bytes(self) -> int:
        """Return the bytes of the net that is kept."""
        return sum(value.nbytes for value in (self._weights or {}).values())


def _classes_of(strategy: Any) -> set[int]:
    """Return the classes that the task has; of a stream with numbers for targets none."""
    if hasattr(strategy, "classes_seen"):
        return set(strategy.classes_seen)
    return {int(label) for label in strategy.experience.classes_in_this_experience}
