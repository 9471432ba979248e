"""A stand-in for a GPU: tensors in host memory that say they are on ``gpu`` and refuse to meet those that are not.

It shows that nothing mixes devices, hands a GPU's tensor to NumPy, or takes a way that is for the CPU only. What a real
GPU's kernels compute, and how fast, it cannot show.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend("gpu")
GPU = torch.device("gpu:0")
CPU = torch.device("cpu")
aten = torch.ops.aten
# They may meet tensors of the host: a copy is what it says, and a GPU's tensor may be indexed by places on the host.
MEETING = {aten.copy_.default, aten._to_copy.default, aten.index.Tensor, aten.index_put_.default}


class OnGpu(Tensor):
    """A tensor that says it is on ``gpu:0``."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Self:
        places = (
            {} if held.layout != torch.strided else {"strides": held.stride(), "storage_offset": held.storage_offset()}
        )
        made: Self = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, dtype=held.dtype, layout=held.layout, device=GPU, **places
        )
        made.held = held
        return made

    def tolist(self) -> Any:
        return self.held.tolist()

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, new: Tensor) -> None:
        Tensor.data.__set__(self, new)
        self.held = new.held

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return on_host(function, args, kwargs or {})


@contextmanager
def stand_in_gpu() -> Iterator[torch.device]:
    """Let tensors be made on, moved to and taken from the device that is returned."""
    with _Literals(), _Factories():
        yield GPU


class _Factories(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return on_host(function, args, kwargs or {})


class _Literals(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if function is torch.tensor and _is_gpu(given.get("device")):
            return OnGpu(function(*args, **{**given, "device": CPU}))
        return function(*args, **given)


def on_host(function: Any, args: Any, kwargs: Any) -> Any:
    """Call a function of the dispatcher on what the tensors hold; its outputs are where a GPU's would be."""
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    any_there = any(isinstance(x, OnGpu) for x in tensors)
    strangers = [x for x in tensors if not isinstance(x, OnGpu) and x.dim()]
    if any_there and strangers and function not in MEETING:
        raise RuntimeError(f"{function} was given tensors on the GPU and, of shape {strangers[0].shape}, on the host")
    goes_there = any_there if kwargs.get("device") is None else _is_gpu(kwargs["device"])
    if function is aten.copy_.default:
        goes_there = isinstance(args[0], OnGpu)
    on_cpu = {**kwargs, "device": CPU} if kwargs.get("device") is not None else kwargs
    out = function(*tree_map(_held, args), **tree_map(_held, on_cpu))
    if not goes_there:
        return out
    wrapped = tree_map(lambda x: OnGpu(x) if isinstance(x, Tensor) else x, out)
    return return_and_correct_aliasing(function, args, kwargs, wrapped) if any_there else wrapped


def _held(x: Any) -> Any:
    return x.held if isinstance(x, OnGpu) else x


def _is_gpu(device: Any) -> bool:
    return device is not None and torch.device(device).type == GPU.type
