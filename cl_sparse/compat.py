"""The one door to torchvision and Avalanche.

The registry's torchvision is compiled against a CUDA torch. Beside a CPU-only torch its native library cannot load,
and ``import torchvision`` then fails because two operators it describes do not exist. Declaring their schemas makes
data sets and transforms usable; nothing here calls the operators. Importing this module first is enough:

    import cl_sparse.compat  # before `import avalanche` or `import torchvision`
"""

import importlib.util
from pathlib import Path

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: torch.library.Library | None = None  # kept alive: the schemas vanish with the object


def _native_library_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    try:
        torch.ops.load_library(str(Path(spec.origin).with_name("_C.so")))
    except (ImportError, OSError):
        return False
    return True


def _declare_missing_operators() -> None:
    global _declared
    if hasattr(torch.ops.torchvision, "nms") or _native_library_loads():
        return
    _declared = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        _declared.define(schema)


_declare_missing_operators()
