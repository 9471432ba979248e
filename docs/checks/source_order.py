"""Does the original code's data order explain the rest of the difference? Trains MLP_1Layer with it.

The original shuffled once, with one seed, for all tasks and epochs, and padded the last mini-batch with the first
samples. This check replaces the loader's order by that one; everything else is the shipped experiment. The results are
written like any other, as MLP_1Layer_source_order.

    python docs/checks/source_order.py DATA_ROOT RESULTS_DIR SEED [SEED …]
"""

import sys
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import torch
from torch import Tensor

from cl_sparse.config.experiments import load_experiments
from cl_sparse.data import BatchLoader
from cl_sparse.results import save_result
from cl_sparse.run import build
from cl_sparse.run.checkpoint import checkpoint_path
from cl_sparse.run.one_run import Observer, Run


def in_source_order(loader: BatchLoader) -> Iterator[list[Tensor]]:
    """Yield training batches in the one order there is, test batches in theirs."""
    order = loader.ids
    if loader.generator is not None:
        order = order[torch.randperm(len(order), generator=torch.Generator().manual_seed(0))]
        order = torch.cat([order, order[: -len(order) % loader.batch_size]])
    for ids in torch.split(order, loader.batch_size):
        yield list(loader.stream.batch(ids))


def main() -> None:
    """Train and save every seed; go on where an earlier call was cut off."""
    warnings.filterwarnings("ignore", module=r"avalanche\..*")
    BatchLoader.__iter__ = in_source_order  # that is the check
    data_root, results_dir = map(Path, sys.argv[1:3])
    config = load_experiments().config("MLP_1Layer", {}).model_copy(update={"name": "MLP_1Layer_source_order"})
    for seed in map(int, sys.argv[3:]):
        run = Run(config, build.build_benchmark(config, seed, data_root), seed, torch.device("cpu"), Observer())
        checkpoint = checkpoint_path(results_dir, config, seed)
        if checkpoint.exists():
            run.resume(checkpoint)
        stats = run.run(checkpoint)
        path = save_result(results_dir, config.name, seed, {"seed": seed, **config.model_dump()}, stats, datetime.now())
        checkpoint.unlink()
        print(f"{path}: {stats['accs'][-1].round(3).tolist()}, mean {stats['accs'][-1].mean():.4f}", flush=True)


if __name__ == "__main__":
    main()
