"""The options of ``cl-sparse sweep``. Imports nothing that help does not need."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

UNFINISHED = 75  # what sendmail's EX_TEMPFAIL is: not finished, try again
_MOST_HOURS = 10_000.0


def add_options(add: Callable[..., Any]) -> None:
    """Add the options that a sweep has beyond those it shares with ``run``."""
    add("file", nargs="?", type=Path, metavar="FILE", help="the sweep, for example exps/sweeps/quickstart.yaml")
    add("--results-dir", type=Path, metavar="DIR", help="the sweep's folder (default: results/sweeps/NAME)")
    executor_help = "what runs trials: Ray Tune, processes on this machine, or Slurm (default: ray)"
    add("--executor", choices=("ray", "local", "slurm"), default="ray", help=executor_help)
    add("--ray-address", metavar="ADDRESS", help="a Ray cluster (default: a Ray on this machine, for --jobs trials)")
    add("--gpus", type=_gpus, default=0.0, metavar="G", help="GPUs of each trial, for Ray; may be a part of one")
    add("--slurm", nargs="+", default=[], metavar="KEY=VALUE", help="options of Slurm, for example partition=long")
    hours_help = f"stop after so many hours, with exit code {UNFINISHED}; the same command goes on"
    add("--max-hours", type=_hours, metavar="H", help=hours_help)
    add("--force", action="store_true", help="run finished trials again")
    add("--dry-run", action="store_true", help="print the trials and how long they would take, and do nothing else")
    add("--status", type=Path, metavar="DIR", help="print how far the sweep in this folder is, and do nothing else")


def _gpus(text: str) -> float:
    try:
        gpus = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: a number of GPUs is needed") from None
    if not 0 <= gpus <= 64:
        raise argparse.ArgumentTypeError(f"{text} is out of range: from 0 to 64")
    return gpus


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: a number of hours is needed") from None
    if not 0 < hours <= _MOST_HOURS:
        raise argparse.ArgumentTypeError(f"{text} is out of range: above 0, at most {_MOST_HOURS:g}")
    return hours
