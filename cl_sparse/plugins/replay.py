"""Experience replay on the tensor data path."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

import cl_sparse.compat

# isort: split
from avalanche.benchmarks.utils import concat_datasets
from avalanche.benchmarks.utils.data_loader import ReplayDataLoader

from cl_sparse.data import TaskStream, served
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
    the current task and ``batch_size_mem`` of the memory. What is kept is a uniform random subset of each task; what
    cannot be shared equally goes to the first tasks, one sample each. Once there are more tasks than ``mem_size``,
    that many of them have one sample, and every task seen has had the same chance (reservoir sampling of tasks).
    (Chaudhry et al. 2019, "On tiny episodic memories in continual learning".)

    Works on any Avalanche stream; on those of :mod:`benchmarks` a step's samples are fetched by one indexing operation.

    Attributes:
        memory: per task seen, its stored samples in a random order: ids of the stream or, where samples are not a
            stream's, places in the task's data set.
        stream: where the samples are, if it is one of ours.
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
        self.memory: list[Tensor] = []  # in a random order: a prefix is a random subset
        self.stream: TaskStream | None = None
        self._datasets: list[Any] = []  # per task seen, where samples are not a stream's
        self._sample_bytes = 0

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """From the second task on, train on mini-batches joined with the memory.

        Raises:
            ValueError: the memory holds samples of another stream.
        """
        dataset, size = strategy.adapted_dataset, strategy.train_mb_size
        current = self.meet(dataset)
        if not self.memory:
            return
        if self.stream is not None:
            memory = torch.cat(self.memory)
            strategy.dataloader = ReplayLoader(self.stream, current, memory, size, self.batch_size_mem or size)
            return
        stored = [data.subset(kept.tolist()) for data, kept in zip(self._datasets, self.memory, strict=True)]
        strategy.dataloader = ReplayDataLoader(
            dataset,
            concat_datasets(stored),
            oversample_small_tasks=True,
            batch_size=size,
            batch_size_mem=self.batch_size_mem or size,
            shuffle=True,
        )

    def meet(self, dataset: Any) -> Tensor:
        """Look which stream the data are of; return their ids in it, none if it is not one of ours.

        Raises:
            ValueError: the memory holds samples of another stream.
        """
        stream, current = served(dataset) or (None, torch.empty(0))
        another = self.stream is not None and stream is not self.stream
        if self.memory and (another or (stream is None) != bool(self._datasets)):
            name = type(self).__name__
            raise ValueError(
                f"{name}: the memory holds samples of another stream than the data: make a plugin for each"
            )
        self.stream = stream
        self._sample_bytes = stream.sample_bytes if stream is not None else _bytes_of(dataset)
        return current

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Give the task just learned its share of the memory."""
        dataset, generator = strategy.experience.dataset, drawn_generator()
        source = served(dataset)
        candidates = torch.arange(len(dataset)) if source is None else source[1]
        if source is None:
            self._datasets.append(dataset)
        candidates = candidates[torch.randperm(len(candidates), generator=generator)]
        seen = len(self.memory) + 1
        if seen > self.mem_size:
            self._join_single_samples(candidates[:1].clone(), int(torch.randint(seen, (), generator=generator)))
            return
        share, rest = divmod(self.mem_size, seen)
        held = enumerate((*self.memory, candidates))
        self.memory = [kept[: share + (task < rest)].clone() for task, kept in held]

    def _join_single_samples(self, sample: Tensor, drawn: int) -> None:
        """Let a task's sample take the place of the ``drawn``-th that is held; if there are fewer, it is not kept."""
        holders = [task for task, kept in enumerate(self.memory) if len(kept)]
        enters = drawn < self.mem_size
        if enters:
            self.memory[holders[drawn]] = sample[:0]
        self.memory.append(sample if enters else sample[:0])

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
        return sum(map(len, self.memory)) * self._sample_bytes


def _bytes_of(dataset: Any) -> int:
    """Return the bytes of one sample with its label (int64)."""
    x = dataset[0][0]
    return (x.numel() * x.element_size() if isinstance(x, Tensor) else 0) + 8
