"""From an Avalanche data set to mini-batches, one indexing operation each."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

import cl_sparse.compat

# isort: split
from avalanche.benchmarks.utils.flat_data import ConstantSequence

from cl_sparse.data.stream import TaskStream
from cl_sparse.data.task_data import TaskData

# Batches whose rows, labels and tasks are looked up at once: for one, that costs as much as to fetch its samples.
_AHEAD = 64


def ids(dataset: Any) -> Tensor:
    """Return the stream ids of an Avalanche data set's samples, in its order.

    Walks subsets and concatenations down to the ``TaskData`` leaves without reading a sample. Labels and task labels
    are the stream's own: attributes replaced on the Avalanche data set are not looked at.

    Args:
        dataset: an ``AvalancheDataset`` made of ``TaskData`` (any tree of ``concat``, ``subset``, ``train``, ``eval``).

    Returns:
        (n,) int64 on the CPU.

    Raises:
        TypeError: a leaf is not a ``TaskData``.
        ValueError: the data set carries Avalanche transforms, which this path would skip, or its leaves belong to
            different streams.
    """
    flat = getattr(dataset, "_flat_data", dataset)
    if len({id(leaf.stream) for leaf in _leaves(flat)}) > 1:
        raise ValueError("the data set mixes samples of different streams (for example train and test)")
    return _walk(flat)


def stream_of(dataset: Any) -> TaskStream:
    """Return the stream that an Avalanche data set takes its samples from.

    Raises:
        ValueError: the data set is empty, or mixes several streams.
    """
    streams = {id(leaf.stream): leaf.stream for leaf in _leaves(getattr(dataset, "_flat_data", dataset))}
    if len(streams) != 1:
        raise ValueError(f"the data set takes its samples from {len(streams)} streams, not from one")
    return next(iter(streams.values()))


def served(dataset: Any) -> tuple[TaskStream, Tensor] | None:
    """Return the stream and the ids that give a data set's samples, exactly as they are one by one, or None.

    None: it is no Avalanche data set, or is empty; some samples are not a stream's, or of another one; it carries
    Avalanche transforms; its samples come with other task labels than the stream tells, or with more than these.
    """
    flat = getattr(dataset, "_flat_data", None)
    if flat is None or not len(dataset) or _obstacle(flat) is not None:
        return None
    streams = {id(leaf.stream): leaf.stream for leaf in _leaves(flat)}
    if len(streams) != 1:
        return None
    (stream,), found = streams.values(), _walk(flat)
    inserted = [attribute for attribute in dataset._data_attributes.values() if attribute.use_in_getitem]
    if [attribute.name for attribute in inserted] != ["targets_task_labels"]:
        return None
    return (stream, found) if _same(stream.told(stream.locate(found)[2]), inserted[0].data) else None


class BatchLoader:
    """Iterates over mini-batches ``[x, y, t]`` of a stream; t are the task labels it tells.

    The last batch holds what is left: it is neither dropped nor padded.

    Args:
        stream: where the samples are.
        ids: (n,) int64, the samples to visit, each as often as it is named.
        batch_size: samples per batch.
        generator: shuffles anew at the start of each iteration; None keeps the order of ``ids``.

    Raises:
        ValueError: ``batch_size`` < 1.
        IndexError: an id outside the stream.
    """

    def __init__(
        self, stream: TaskStream, ids: Tensor, batch_size: int, generator: torch.Generator | None = None
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size}: must be at least 1")
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(stream):
            raise IndexError(f"ids {int(ids.min())}..{int(ids.max())}, but the stream has {len(stream)} samples")
        self.stream, self.ids, self.batch_size, self.generator = stream, ids, batch_size, generator

    def __len__(self) -> int:
        return -(-len(self.ids) // self.batch_size)

    def __iter__(self) -> Iterator[list[Tensor]]:
        order = self.ids
        if self.generator is not None:
            shuffle = torch.randperm(len(order), generator=self.generator, device=self.generator.device)
            order = order[shuffle.to(order.device)]
        order, stream, ahead = order.to(self.stream.device), self.stream, _AHEAD * self.batch_size
        for start in range(0, len(order), ahead):
            located = (torch.split(part, self.batch_size) for part in stream.locate(order[start : start + ahead]))
            for rows, y, tasks in zip(*located, strict=True):
                yield [stream.samples(rows, tasks), y, stream.told(tasks)]


def _leaves(flat: Any) -> Iterator[TaskData]:
    """Yield the leaves of a data set's tree; those who have not asked for an obstacle before meet it here."""
    obstacle = _obstacle(flat)
    if obstacle is not None:
        raise obstacle
    yield from (node for node in _nodes(flat) if isinstance(node, TaskData))


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in () if isinstance(node, TaskData) else getattr(node, "_datasets", ()):
        yield from _nodes(child)


def _obstacle(flat: Any) -> Exception | None:
    """Return why the samples below cannot be fetched from a stream, or None."""
    for node in _nodes(flat):
        if not isinstance(node, TaskData) and not hasattr(node, "_datasets"):
            return TypeError(
                f"a data set of {type(node).__name__} samples is not a part of a TaskStream: Learner trains on the "
                "streams of benchmarks/ only, Avalanche's strategies on any"
            )
        for kind in ("_transform_groups", "_frozen_transform_groups"):
            groups = getattr(node, kind, None)  # a plain FlatData, which merging makes inside a concatenation, has none
            if groups is not None and any(transform is not None for transform in groups.transform_groups.values()):
                return ValueError(
                    "the data set carries Avalanche transforms: give the stream a batched transform instead"
                )
    return None


def _same(told: Tensor, labels: Any) -> bool:
    """Return whether the task labels of a data set's attribute are these."""
    if isinstance(labels, ConstantSequence):
        return bool((told == labels[0]).all())
    return bool(told.tolist() == list(labels))


def _walk(node: Any) -> Tensor:
    if isinstance(node, TaskData):
        return node.stream.task_ids(node.task)
    children = node._datasets
    if node._indices is None or not children:
        return torch.cat([_walk(child) for child in children]) if children else torch.empty(0, dtype=torch.int64)
    positions = _as_tensor(node._indices)
    if not all(isinstance(child, TaskData) for child in children):
        return torch.cat([_walk(child) for child in children])[positions]
    ends = torch.tensor([len(child) for child in children]).cumsum(0)
    firsts = torch.tensor([child.stream.offsets[child.task] for child in children])
    starts = ends - torch.tensor([len(child) for child in children])
    child = torch.bucketize(positions, ends, right=True)
    return positions + (firsts - starts)[child]


def _as_tensor(indices: Any) -> Tensor:
    """Avalanche's indices come as lists of ints, of 0-d tensors, ranges, or its lazy sequences."""
    if hasattr(indices, "_to_eager"):
        indices._to_eager()
        if isinstance(indices._eager_list, np.ndarray):
            return torch.from_numpy(indices._eager_list)
    return torch.from_numpy(np.fromiter((int(i) for i in indices), dtype=np.int64, count=len(indices)))
