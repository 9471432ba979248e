"""`python -m perf [CASE …]`: run the cases, print their ratios, write them as JSON and as a document."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from cl_sparse.run import provenance
from perf import (
    axes,
    coactivation,
    crossover,
    data_path,
    document,
    fast_loading,
    filter_memory,
    mechanisms,
    methods,
    network_size,
    precision,
    set_epoch,
    sparse_linear,
    sweeps,
    winners,
)

CASES: dict[str, Callable[[int], list[dict[str, object]]]] = {
    "data_path": data_path.run,
    "fast_loading": fast_loading.run,
    "winners": winners.run,
    "mechanisms": mechanisms.run,
    "methods": methods.run,
    "precision": precision.run,
    "network_size": network_size.run,
    "filter_memory": filter_memory.run,
    "coactivation": coactivation.run,
    "set_epoch": set_epoch.run,
    "crossover": crossover.run,
    "sparse_linear": sparse_linear.run,
    "loops": sparse_linear.loops,
    "width": axes.width,
    "density": axes.density,
    "winner_share": axes.winner_share,
    "sweeps": sweeps.run,
    "thousand_trials": sweeps.thousand,
}


def main() -> None:
    """Run the named cases, or all."""
    parser = argparse.ArgumentParser(prog="python -m perf", description=__doc__)
    parser.add_argument("case", nargs="*", choices=[*CASES, []], help="cases to run; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds; every contender runs once in each")
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("results/perf.json"),
        help="where the figures go; those of other cases in it are kept",
    )
    parser.add_argument("--document", type=Path, help="Markdown file to write them to as well")
    arguments = parser.parse_args()
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
    for name in arguments.case or CASES:
        rows = CASES[name](arguments.rounds)
        _print(name, rows, arguments.rounds)
        figures[name] = {
            "machine": provenance.machine(torch.device("cpu")),
            "versions": provenance.versions(),
            "threads": torch.get_num_threads(),
            "rounds": arguments.rounds,
            "git_commit": provenance.git_commit(),
            "rows": rows,
        }
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
        if arguments.document is not None:
            document.write(figures, arguments.json, arguments.document)


def _print(name: str, rows: list[dict[str, object]], rounds: int) -> None:
    table = Table(*rows[0], title=f"{name}: medians of {rounds} interleaved rounds")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
