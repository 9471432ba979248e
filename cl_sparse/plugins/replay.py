"""Experience replay on the tensor data path."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from cl_sparse.data import TaskStream, ids, stream_of
from cl_sparse.data.drawn import drawn_generator
from cl_sparse.plugins.base import Plugin


class ReplayLoader:
    """One pass over the current task, each mini-batch joined by one from the memory, which is cycled through.

    The joint batch is fetched by one indexing operation over the stream.

    Args:
        stream: where the samples are.
        current: (n,) int64, ids of the current task's samples; shuffled, each visited once, the last batch not padded.
        memory: (m,) int64, ids of the stored samples; shuffled anew whenever less than a batch of them is left.
        batch_size: samples per step from ``current``.
        batch_size_mem: samples per step from ``memory``; at most m.
    """

    def __init__(
        self, stream: TaskStream, current: Tensor, memory: Tensor, batch_size: int, batch_size_mem: int
    ) -> None:
        """Draw nothing yet; every pass draws anew."""
        self.stream, self.current, self.memory = stream, current, memory
        self.batch_size, self.batch_size_mem = batch_size, min(batch_size_mem, len(memory))
        self.generator = drawn_generator()

    def __len__(self) -> int:
        """Return the number of steps."""
        return -(-len(self.current) // self.batch_size)

    def __iter__(self) -> Iterator[list[Tensor]]:
        """Yield ``[x, y, task]`` of the joint mini-batches."""
        memory = self._memory_batches()
        for batch in torch.split(self._shuffled(self.current), self.batch_size):
            yield list(self.stream.batch(torch.cat([batch, next(memory)])))

    def _memory_batches(self) -> Iterator[Tensor]:
        whole = len(self.memory) - len(self.memory) % self.batch_size_mem
        while True:
            yield from torch.split(self._shuffled(self.memory)[:whole], self.batch_size_mem)

    def _shuffled(self, ids: Tensor) -> Tensor:
        return ids[torch.randperm(len(ids), generator=self.generator)]


class Replay(Plugin):
    """Replay stored samples beside the current task's, with an equal share of the memory for every task seen.

    As Avalanche's ``ReplayPlugin`` with an experience-balanced buffer: each step trains on ``train_mb_size`` samples of
    the current task and ``batch_size_mem`` of the memory. What is kept is a uniform random subset of each task.
    (Chaudhry et al. 2019, "On tiny episodic memories in continual learning".)
    """

    uses_task_boundaries = True
    looks_at_weights = False

    def __init__(self, mem_size: int = 500, batch_size_mem: int | None = None) -> None:
        """Keep at most ``mem_size`` samples; replay ``batch_size_mem`` of them per step (default: the batch size).

        Raises:
            ValueError: if a size is below 1.
        """
        super().__init__()
        if mem_size < 1 or (batch_size_mem is not None and batch_size_mem < 1):
            raise ValueError("mem_size and batch_size_mem must be at least 1")
        self.mem_size = mem_size
        self.batch_size_mem = batch_size_mem
        self.memory: list[
            Tensor
        ] = []  # per task seen: sample ids in a random order, so that a prefix is a random subset
        self._stream: TaskStream | None = None

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """From the second task on, train on mini-batches joined with the memory."""
        dataset = strategy.adapted_dataset
        self._stream = stream_of(dataset)
        if self.memory:
            size = strategy.train_mb_size
            strategy.dataloader = ReplayLoader(
                self._stream, ids(dataset), torch.cat(self.memory), size, self.batch_size_mem or size
            )

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Give the task just learned its share of the memory."""
        candidates = ids(strategy.experience.dataset)
        candidates = candidates[torch.randperm(len(candidates), generator=drawn_generator())]
        share = max(1, self.mem_size // (len(self.memory) + 1))
        self.memory = [kept[:share].clone() for kept in (*self.memory, candidates)][: self.mem_size]

    def state_dict(self) -> dict[str, Any]:
        """Return the stored sample ids, a long tensor per task."""
        return {"memory": self.memory}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the stored sample ids; ids stay on the CPU, wherever the samples are.

        Raises:
            ValueError: the state holds anything else.
        """
        if any(kept.dtype != torch.long or kept.dim() != 1 for kept in state["memory"]):
            raise ValueError("the memory is a row of long sample ids per task")
        self.memory = [kept.cpu() for kept in state["memory"]]

    def carried_bytes(self) -> int:
        """Return the bytes of the stored samples and labels, as a learner without the data set would hold them."""
        return sum(map(len, self.memory)) * self._stream.sample_bytes if self._stream else 0
