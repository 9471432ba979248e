"""GDumb: whatever the stream, train a fresh net on a balanced memory."""

from typing import Any

import torch
from torch import Tensor

from cl_sparse.data import BatchLoader, TaskStream, served
from cl_sparse.data.drawn import drawn_generator
from cl_sparse.plugins.base import Plugin


class Dumb(Plugin):
    """Greedy sampler and dumb learner (Prabhu, Torr and Dokania 2020, "GDumb").

    The memory has an equal share for every class seen so far (in a stream that tells tasks, for every class of a
    task), and of a class for every task that has it; the paper's classes come in one task each. At each task the net
    gets back the weights that it started from and trains on the memory alone, for the epochs that the task would have
    had.

    Args:
        mem_size: samples kept.

    Raises:
        ValueError: it is below 1.
    """

    uses_task_boundaries = True
    looks_at_weights = False

    def __init__(self, mem_size: int = 500) -> None:
        super().__init__()
        if mem_size < 1:
            raise ValueError("mem_size must be at least 1")
        self.mem_size = mem_size
        self.memory: dict[str, list[Tensor]] = {}  # by class and task, ids in a random order
        self._start: dict[str, Tensor] | None = None
        self._sample_bytes = 0

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Update the memory, start anew, and train on what is stored.

        Raises:
            ValueError: the stream is not one of ours.
        """
        source = served(strategy.adapted_dataset)
        if source is None:
            raise ValueError("Dumb needs a stream of the package benchmarks")
        stream, current = source
        self._sample_bytes = stream.sample_bytes
        self._update(stream, current)
        self._begin_anew(strategy)
        memory = torch.cat([ids for kept in self.memory.values() for ids in kept])
        strategy.dataloader = BatchLoader(stream, memory, strategy.train_mb_size, drawn_generator())

    def _update(self, stream: TaskStream, current: Tensor) -> None:
        current = current[torch.randperm(len(current), generator=drawn_generator())]
        labels = stream.locate(current)[1].cpu()
        told = stream.batch(current[:1])[2].item() if stream.tells_task else 0
        found = {f"{told}/{label}": current[labels == label] for label in torch.unique(labels).tolist()}
        for name, ids in found.items():
            self.memory.setdefault(name, []).append(ids)
        for kept, share in zip(self.memory.values(), _shares(self.mem_size, len(self.memory)), strict=True):
            kept[:] = [ids[:own].clone() for ids, own in zip(kept, _shares(share, len(kept)), strict=True)]

    def _begin_anew(self, strategy: Any) -> None:
        model = strategy.model
        if self._start is None:
            self._start = {name: value.detach().clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self._start)
        for module in model.modules():
            if hasattr(module, "learning_iterations"):
                module.learning_iterations = 0
        strategy.optimizer.state.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return the memory, and the weights that the net started from."""
        return {"memory": {name: list(kept) for name, kept in self.memory.items()}, "start": self._start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self.memory = {name: [ids.cpu() for ids in kept] for name, kept in state["memory"].items()}
        self._start = state["start"]

    def carried_bytes(self) -> int:
        """Return the bytes of the stored samples and labels; first weights could be drawn again, and do not count."""
        return sum(len(ids) for kept in self.memory.values() for ids in kept) * self._sample_bytes


def _shares(total: int, parts: int) -> list[int]:
    """Return how many each part gets, as equal as can be, the first ones more."""
    share, rest = divmod(total, parts)
    return [share + (place < rest) for place in range(parts)]
