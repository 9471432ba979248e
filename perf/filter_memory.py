"""What filters of a CNN's channels need in training: as a layer behind the convolution, or folded into its weights.

Needs Linux, see :mod:`perf.apart`. python -m perf.filter_memory CONTENDER
"""

import json
import statistics
import subprocess
import sys
import time

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy

from cl_sparse.layers import Sparsifier
from perf.apart import resident

CHANNELS, HIDDEN, CLASSES, SIDE, BATCH, STEPS = 75, 500, 10, 28, 128, 4
CONTENDERS = ("no filter", "layer", "folded")


class FoldedConv(nn.Module):
    """A convolution whose weights and bias are multiplied by each channel's filter: conv(x; s·W, s·b).

    Its gradients are those of s·conv(x; W, b), and no map is kept for that of s.
    """

    def __init__(self, conv: nn.Conv2d, unit_filter: Sparsifier) -> None:
        super().__init__()
        self.conv, self.unit_filter = conv, unit_filter

    def forward(self, x: Tensor) -> Tensor:
        factors, conv = self.unit_filter.factors(), self.conv
        assert conv.bias is not None
        return conv2d(x, factors.view(-1, 1, 1, 1) * conv.weight, factors * conv.bias, padding=1)


def filtered(contender: str, channels_in: int, channels: int = CHANNELS) -> list[nn.Module]:
    """Return the modules of a convolution and its filter."""
    conv = nn.Conv2d(channels_in, channels, 3, padding=1)
    if contender == "no filter":
        return [conv]
    unit_filter = Sparsifier(channels)
    return [FoldedConv(conv, unit_filter)] if contender == "folded" else [conv, unit_filter]


def net_of(contender: str) -> nn.Sequential:
    """Return [3×3 convolution → ReLU → 2×2 pooling] twice, a hidden layer and the output, as in the source's CNNs."""
    blocks = [(*filtered(contender, c), nn.ReLU(), nn.MaxPool2d(2)) for c in (1, CHANNELS)]
    tail = [nn.Flatten(), nn.Linear(CHANNELS * (SIDE // 4) ** 2, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES)]
    return nn.Sequential(*(module for block in blocks for module in block), *tail)


def kept_for_gradients(contender: str) -> int:
    """Return the bytes of what a forward pass keeps for the gradients, beside the parameters; each tensor once."""
    net, seen = net_of(contender), dict[int, int]()
    own = {parameter.data_ptr() for parameter in net.parameters()}

    def note(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            seen[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = net(torch.randn(BATCH, 1, SIDE, SIDE)).sum()  # kept until here, so that no address is used twice
    del loss
    return sum(seen.values())


def measure(contender: str) -> dict[str, float]:
    """Train a few steps in this process; return the largest resident set beyond the imports', and a step's seconds."""
    torch.manual_seed(0)
    imports, net = resident(), net_of(contender)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    x, y = torch.randn(BATCH, 1, SIDE, SIDE), torch.randint(CLASSES, (BATCH,))
    seconds = []
    for _ in range(STEPS):
        start = time.perf_counter()
        optimizer.zero_grad()
        torch.autograd.backward(cross_entropy(net(x), y))
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    return {"peak": resident() - imports, "seconds": statistics.median(seconds[1:])}


def run(rounds: int = 5) -> list[dict[str, object]]:
    """Return peak memory and time of a training step, each net in processes of its own, in turn; medians over them."""
    found: dict[str, list[dict[str, float]]] = {contender: [] for contender in CONTENDERS}
    for _ in range(rounds):
        for contender, measured in found.items():
            command = [sys.executable, "-m", "perf.filter_memory", contender]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            measured.append(json.loads(out.splitlines()[-1]))
    peaks = {name: statistics.median(one["peak"] for one in runs) for name, runs in found.items()}
    return [
        {
            "filter": name,
            "peak MB": round(peaks[name] / 1e6),
            "beyond no filter, MB": round((peaks[name] - peaks["no filter"]) / 1e6),
            "kept for gradients, MB": round(kept_for_gradients(name) / 1e6, 1),
            "ms": round(1e3 * statistics.median(one["seconds"] for one in runs)),
        }
        for name, runs in found.items()
    ]


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
