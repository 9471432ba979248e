"""Does the original code's data order explain the rest of the difference? Trains MLP_1Layer with it.

The original shuffled once, with one seed, for all tasks and epochs, and padded the last mini-batch with the first
samples. This check replaces the loader's order by that one; everything else is the shipped experiment.

    python docs/checks/source_order.py DATA_ROOT SEED [SEED …]
"""

import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from cl_sparse import build
from cl_sparse.data import BatchLoader
from cl_sparse.experiments import load_experiments
from cl_sparse.training import Observer, Run


def in_source_order(loader: BatchLoader) -> Iterator[list[Tensor]]:
    """Yield training batches in the one order there is, test batches in theirs."""
    order = loader.ids
    if loader.generator is not None:
        order = order[torch.randperm(len(order), generator=torch.Generator().manual_seed(0))]
        order = torch.cat([order, order[: -len(order) % loader.batch_size]])
    for ids in torch.split(order, loader.batch_size):
        yield list(loader.stream.batch(ids))


def main() -> None:
    """Print the last row of the accuracy matrix and its mean for every seed."""
    warnings.filterwarnings("ignore", module=r"avalanche\..*")
    BatchLoader.__iter__ = in_source_order  # that is the check
    config = load_experiments().config("MLP_1Layer", {"eval_every": 10})
    for seed in map(int, sys.argv[2:]):
        benchmark = build.build_benchmark(config, seed, Path(sys.argv[1]))
        run = Run(config, benchmark, seed, torch.device("cpu"), Observer())
        with tempfile.TemporaryDirectory() as folder:
            row = run.run(Path(folder) / "checkpoint.pt")["accs"][-1]
        print(f"seed {seed}: {row.round(3).tolist()}, mean {row.mean():.4f}", flush=True)


if __name__ == "__main__":
    main()
