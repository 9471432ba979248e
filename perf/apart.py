"""Seconds and memory of one net's training step, in a process of its own, whose largest resident set is read last.

Needs Linux: elsewhere, and from ``getrusage``, a process inherits the largest resident set of the one that started it.

python -m perf.apart CONTENDER WIDTH FIRST SECOND WINNERS INPUTS
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

import torch

from perf.sparse_nets import BATCH, CLASSES, NETS, STREAMED, Shape, training_step

STEPS, PEERS_STEPS = 8, 3


@dataclass(frozen=True)
class Cost:
    """What a training step needs.

    Attributes:
        seconds: median over the steps.
        peak: largest resident set of the process, bytes.
        imports: of it, before the net was built.
    """

    seconds: float
    peak: float
    imports: float


def measure(contender: str, shape: Shape) -> Cost:
    """Build the net, take a few steps."""
    torch.manual_seed(0)
    imports = resident()
    x, y = torch.randn(BATCH, shape.inputs), torch.randint(CLASSES, (BATCH,))
    step = training_step(contender, NETS[contender](shape), x, y)
    seconds = []
    for _ in range(1 + (STEPS if contender == STREAMED else PEERS_STEPS)):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return Cost(statistics.median(seconds[1:]), resident(), imports)


def costs(nets: Mapping[tuple[str, Shape], object], rounds: int) -> dict[tuple[str, Shape], Cost]:
    """Measure contenders and shapes, each in ``rounds`` processes, in turn; the medians of the figures count."""
    found: dict[tuple[str, Shape], list[Cost]] = {net: [] for net in nets}
    for _ in range(rounds):
        for (contender, shape), costs_of_net in found.items():
            costs_of_net.append(_apart(contender, shape))
    return {net: Cost(*map(statistics.median, zip(*map(astuple, runs), strict=True))) for net, runs in found.items()}


def resident() -> int:
    """Return the largest resident set that the process has had, bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def _apart(contender: str, shape: Shape) -> Cost:
    command = [sys.executable, "-m", "perf.apart", contender, *map(str, astuple(shape))]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Cost(*json.loads(out.splitlines()[-1]))


def main() -> None:
    """Print the figures of one net as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=list(NETS))
    for name in ("width", "first", "second", "winners", "inputs"):
        parser.add_argument(name, type=int)
    arguments = vars(parser.parse_args())
    print(json.dumps(astuple(measure(arguments.pop("contender"), Shape(**arguments)))))


if __name__ == "__main__":
    main()
