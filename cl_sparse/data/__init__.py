"""Data sets as tensors in memory, tasks as indices into them, mini-batches as one indexing operation."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

# Imported when asked for: reading a data set needs no Avalanche, and that takes seconds to import.
_MODULES = {
    "datasets": ("load_data",),
    "image_data": ("ImageData",),
    "loader": ("BatchLoader", "ids", "served", "stream_of"),
    "stream": ("BatchTransform", "TaskStream"),
    "task_data": ("TaskData",),
    "task_datasets": ("task_datasets",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
