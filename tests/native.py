"""Avalanche's own benchmarks with the samples of ours, and its strategies without a logger."""

import warnings

import torch
from torch import nn
from torch.utils.data import TensorDataset

import cl_sparse.compat

# isort: split
from avalanche.benchmarks import benchmark_from_datasets
from avalanche.benchmarks.scenarios.supervised import with_classes_timeline
from avalanche.benchmarks.scenarios.task_aware import with_task_labels
from avalanche.benchmarks.utils import DataAttribute, TaskAwareSupervisedClassificationDataset
from avalanche.benchmarks.utils.data_attribute import TaskLabels
from avalanche.benchmarks.utils.flat_data import ConstantSequence
from avalanche.training.supervised import Naive

from benchmarks.base import Benchmark


def native_benchmark(benchmark: Benchmark):
    """Return the same samples, labels and task labels as Avalanche itself holds them, with its decorations."""
    streams = {
        split: [native_dataset(stream, task) for task in range(stream.n_tasks)]
        for split, stream in benchmark.tensors.items()
    }
    decorated = with_classes_timeline(with_task_labels(benchmark_from_datasets(**streams)))
    for stream in decorated.streams.values():
        for experience in stream:  # a set, which Avalanche's own multi-headed models cannot index with
            experience.classes_in_this_experience = sorted(experience.classes_in_this_experience)
    return decorated


def native_dataset(stream, task):
    """Return one task's samples in memory."""
    x, y, t = stream.batch(stream.task_ids(task))
    labels = [DataAttribute(y.tolist(), "targets"), TaskLabels(ConstantSequence(int(t[0]), len(y)))]
    return TaskAwareSupervisedClassificationDataset([TensorDataset(x, y)], data_attributes=labels)


def silent(kind=Naive, *, model, lr=0.1, **keywords):
    """Return an Avalanche strategy without evaluator, with small mini-batches, and keep its warnings to itself."""
    keywords = {"train_mb_size": 16, "eval_mb_size": 100, "evaluator": None, **keywords}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
        return kind(model=model, optimizer=optimizer, criterion=nn.CrossEntropyLoss(), **keywords)
