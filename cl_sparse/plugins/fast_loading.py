"""Our mini-batches in any of Avalanche's strategies: its loaders' order, each batch fetched as a whole."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

import cl_sparse.compat

# isort: split
from avalanche.benchmarks.utils.data_loader import MultiDatasetDataLoader, MultiDatasetSampler

from cl_sparse.data import TaskStream, served
from cl_sparse.data.task_data import collate
from cl_sparse.plugins.base import Plugin


class FastLoading(Plugin):
    """Let a strategy of Avalanche's, whichever it is, fetch whole mini-batches: ``plugins=[FastLoading()]``.

    The batches are those of the loader that the strategy or a plugin (replay, GSS, MIR, ...) has made, in its order and
    with its random numbers, so that results are the same, bit for bit. A loader of data that are not a stream's of
    :mod:`benchmarks`, or not as they are there, stays what it is. Workers are not used: there is nothing left to do.
    """

    looks_at_weights = False

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Replace the loader of the training data, whoever made it."""
        strategy.dataloader = faster(strategy.dataloader)

    def before_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Replace the loader of the test data."""
        strategy.dataloader = faster(strategy.dataloader)


def faster(loader: Any) -> Any:
    """Return a loader of the same mini-batches that fetches each at once; the loader itself if its data do not allow.

    Args:
        loader: Avalanche's, or torch's ``DataLoader`` of an Avalanche data set; anything else is returned as it is.
    """
    if isinstance(loader, MultiDatasetDataLoader):
        datasets, collates = loader.datasets, loader.loader_kwargs["collate_fn"]
    elif isinstance(loader, DataLoader) and loader.batch_sampler is not None:
        datasets, collates = [loader.dataset], loader.collate_fn
    else:
        return loader
    sources = [served(dataset) for dataset in datasets]
    if collates not in (collate, torch.utils.data.default_collate) or None in sources:
        return loader
    streams, ids = zip(*filter(None, sources), strict=True)
    return StreamBatches(loader, streams[0], torch.cat(ids)) if len({*map(id, streams)}) == 1 else loader


class StreamBatches:
    """A loader's mini-batches ``[x, y, t]``, fetched from a stream.

    Args:
        loader: decides which samples make up a batch.
        stream: where the samples are.
        ids: of the samples of the loader's data sets, one data set after the other.
    """

    def __init__(self, loader: Any, stream: TaskStream, ids: Tensor) -> None:
        self.loader, self.stream = loader, stream
        self.located = stream.locate(ids)  # once for all: for a mini-batch it costs as much as to fetch its samples

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[list[Tensor]]:
        # What torch's loader draws for its workers: the generator is left as it would be, and shuffles are the same.
        torch.empty((), dtype=torch.int64).random_(generator=getattr(self.loader, "generator", None))
        for places in _batches(self.loader):
            chosen = torch.tensor(places, device=self.stream.device)
            rows, y, tasks = (part.index_select(0, chosen) for part in self.located)
            yield [self.stream.samples(rows, tasks), y, self.stream.told(tasks)]


def _batches(loader: Any) -> Any:
    """Return the places of the samples of each mini-batch of an epoch."""
    if isinstance(loader, DataLoader):
        return loader.batch_sampler
    # As the loader makes it, which first looks at each sample for another library's sake: a third of a small epoch.
    samplers = loader._create_samplers(
        loader.datasets, loader.batch_sizes, loader.distributed_sampling, loader.loader_kwargs
    )
    return MultiDatasetSampler(
        loader.datasets,
        samplers,
        termination_dataset_idx=loader.termination_dataset,
        oversample_small_datasets=loader.oversample_small_datasets,
        never_ending=loader.never_ending,
    )
