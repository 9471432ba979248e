"""The one door to torchvision and Avalanche.

The registry's torchvision is compiled against a CUDA torch. Beside a CPU-only torch its native library cannot load,
and ``import torchvision`` then fails because two operators it describes do not exist. Declaring their schemas makes
data sets and transforms usable; nothing here calls the operators. Importing this module first is enough:

    import cl_sparse.compat  # before `import avalanche` or `import torchvision`
"""

import importlib
import importlib.util
import os
import tempfile
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


def _import_avalanche_without_a_home() -> None:
    """Import the part of Avalanche that writes to the home folder, where there is none it can write to.

    It keeps its settings in ``~/.avalanche/config.json`` and cannot be imported without; for this process it gets
    another home.
    """
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 (pathlib raises where there is no home)
    if (home / ".avalanche" / "config.json").is_file() or (home.is_dir() and os.access(home, os.W_OK | os.X_OK)):
        return
    before = os.environ.get("HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder
        importlib.import_module("avalanche.benchmarks.datasets.dataset_utils")
    if before is None:
        del os.environ["HOME"]
    else:
        os.environ["HOME"] = before


_import_avalanche_without_a_home()
