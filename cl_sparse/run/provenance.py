"""Where a result comes from: versions, machine and code."""

import hashlib
import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

PACKAGES = ("torch", "torchvision", "avalanche-lib", "numpy", "scikit-learn", "pydantic")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that shape the numbers."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}


def machine(device: torch.device) -> dict[str, str | int]:
    """Return what the run ran on."""
    facts: dict[str, str | int] = {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": os.cpu_count() or 0,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts


@cache
def code_hash() -> str:
    """Return a SHA-256 over every source file of the two packages, 16 hex digits: equal code gives an equal hash.

    Asked once per process: what is changed later on the disk does not run.
    """
    root = Path(__file__).parent.parent.parent
    digest = hashlib.sha256()
    for package in ("benchmarks", "cl_sparse"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def git_commit() -> str | None:
    """Return the checkout's commit, with ``-dirty`` when code or settings differ from it; None outside a checkout.

    Documents and results do not count: reports and measurements write them while they run.
    """
    root = Path(__file__).parent.parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "diff", "HEAD", "--name-only", "--", "*.py", "*.yaml", "*.toml", "*.txt")
    except (OSError, subprocess.SubprocessError) as error:
        print(f"note: the commit is not recorded: {error}", file=sys.stderr)
        return None
    return f"{commit}-dirty" if changed else commit


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
