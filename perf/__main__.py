"""`python -m perf [CASE …]`: run the cases, print their ratios, write them as JSON."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from cl_sparse import provenance
from perf import data_path, sparse_linear, width, winners

CASES: dict[str, Callable[[int], list[dict[str, object]]]] = {
    "data_path": data_path.run,
    "winners": winners.run,
    "sparse_linear": sparse_linear.run,
    "width": width.run,
}


def main() -> None:
    """Run the named cases, or all."""
    parser = argparse.ArgumentParser(prog="python -m perf", description=__doc__)
    parser.add_argument("case", nargs="*", choices=[*CASES, []], help="cases to run; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds; every contender runs once in each")
    parser.add_argument("--json", type=Path, default=Path("results/perf.json"), help="where the figures go")
    arguments = parser.parse_args()
    device = torch.device("cpu")
    figures: dict[str, object] = {
        "machine": provenance.machine(device),
        "versions": provenance.versions(),
        "threads": torch.get_num_threads(),
        "rounds": arguments.rounds,
        "git_commit": provenance.git_commit(),
    }
    console = Console()
    for name in arguments.case or CASES:
        rows = CASES[name](arguments.rounds)
        figures[name] = rows
        table = Table(*rows[0], title=f"{name}: medians of {arguments.rounds} interleaved rounds")
        for row in rows:
            table.add_row(*map(str, row.values()))
        console.print(table)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"written to {arguments.json}")


if __name__ == "__main__":
    main()
