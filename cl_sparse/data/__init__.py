"""Data sets as tensors in memory, tasks as indices into them, mini-batches as one indexing operation."""

from cl_sparse.data.datasets import load_data
from cl_sparse.data.image_data import ImageData
from cl_sparse.data.loader import BatchLoader, ids, served, stream_of
from cl_sparse.data.stream import BatchTransform, TaskStream
from cl_sparse.data.task_data import TaskData
from cl_sparse.data.task_datasets import task_datasets

__all__ = [
    "BatchLoader",
    "BatchTransform",
    "ImageData",
    "TaskData",
    "TaskStream",
    "ids",
    "load_data",
    "served",
    "stream_of",
    "task_datasets",
]
