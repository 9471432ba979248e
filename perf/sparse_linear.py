"""784-4000-4000-10, 5 % winners, 5 % of the weights: live synapses only, beside masks, dense nets and torch.sparse."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from cl_sparse.layers import KWinners, SparseWeights, normalize_sparse_weights, rezero_weights
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.layers.sparse_product import as_csr
from cl_sparse.layers.sparse_winners import StreamedKWinners, StreamedSparseLinear
from perf.machine import bandwidth, peak_multiply_adds
from perf.timing import Timing, interleave, ratio

INPUTS, WIDTH, CLASSES, BATCH = 784, 4000, 10, 128
SHARE = 0.05  # of winners and of weights
SGD = {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}


class KthValueWinners(KWinners):
    """k-winners as nupic.torch computes them: a search for the k-th value, and a mask."""

    def forward(self, x: Tensor) -> Tensor:
        k = self.k if self.training else self.k_inference
        ranks = x.detach() * torch.exp(-self.boost_strength * self.duty_cycle)
        out: Tensor = torch.where(ranks < ranks.kthvalue(self.n - k + 1, dim=1, keepdim=True).values, 0.0, x)
        if self.training:
            self.update_duty_cycle(out)
        return out


class TorchSparseLinear(nn.Module):
    """A sparse layer from torch.sparse as it comes: a COO matrix of the live values, multiplied."""

    def __init__(self, like: SparseLinear) -> None:
        super().__init__()
        self.indices, self.shape = like.indices, (like.out_features, like.in_features)
        self.values, self.bias = nn.Parameter(like.values.detach().clone()), nn.Parameter(torch.zeros(self.shape[0]))

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.sparse_coo_tensor(
            self.indices, self.values, self.shape, check_invariants=False, is_coalesced=True
        )
        product: Tensor = torch.sparse.mm(weight, x.t()).t()
        return product + self.bias


def masked(n_in: int, n_out: int) -> SparseWeights:
    layer = SparseWeights(nn.Linear(n_in, n_out), SHARE)
    normalize_sparse_weights(layer)
    return layer


def net(
    layer: Callable[[int, int, bool], nn.Module], act: Callable[[], nn.Module], head: nn.Module | None = None
) -> nn.Sequential:
    """Return the net; the layer's third argument says whether its inputs are winners."""
    return nn.Sequential(
        OrderedDict(
            fc1=layer(INPUTS, WIDTH, False),
            act1=act(),
            fc2=layer(WIDTH, WIDTH, True),
            act2=act(),
            head=head or nn.Linear(WIDTH, CLASSES),
        )
    )


def nets() -> dict[str, nn.Sequential]:
    """Return the contenders."""

    def by_units(n_in: int, n_out: int) -> SparseLinear:
        return SparseLinear(n_in, n_out, density=SHARE)

    def sparse(n_in: int, n_out: int, winners: bool) -> SparseLinear:
        return SparseLinear(n_in, n_out, density=SHARE, inputs="winners" if winners else "any")

    def streamed(n_in: int, n_out: int, winners: bool) -> SparseLinear:
        return StreamedSparseLinear(n_in, n_out, density=SHARE, inputs="winners" if winners else "any")

    def head() -> SparseLinear:
        return SparseLinear(WIDTH, CLASSES, density=1.0, inputs="winners")

    return {
        "reference masked": net(lambda i, o, _: masked(i, o), lambda: KthValueWinners(WIDTH, SHARE)),
        "dense ReLU": net(lambda i, o, _: nn.Linear(i, o), nn.ReLU),
        "torch.sparse": net(lambda i, o, _: TorchSparseLinear(by_units(i, o)), lambda: KWinners(WIDTH, SHARE)),
        "SparseLinear, KWinners": net(sparse, lambda: KWinners(WIDTH, SHARE)),
        "streamed": net(streamed, lambda: StreamedKWinners(WIDTH, SHARE), head()),
    }


def training_step(model: nn.Sequential, x: Tensor, y: Tensor, fused: bool) -> Callable[[], float]:
    """Return one step of SGD with momentum and weight decay."""
    optimizer = torch.optim.SGD(model.parameters(), fused=fused or None, **SGD)  # type: ignore[arg-type]

    loss_of = nn.CrossEntropyLoss()

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        if not fused:
            rezero_weights(model)
        return float(loss.detach())

    return step


def inference(model: nn.Sequential, x: Tensor) -> Callable[[], None]:
    """Return one forward pass in evaluation mode."""

    def forward() -> None:
        model.eval()
        with torch.no_grad():
            model(x)
        model.train()

    return forward


def floor_seconds(training: bool) -> float:
    """Return the least time for a pass: each live synapse between active ends once, and the optimizer's bytes.

    Multiply-adds: the first layer's dense inputs reach all its synapses, the second layer's only those of the winners;
    backward, only synapses between winners count. Bytes: values, and in training gradients and momenta as well, read
    and written once.
    """
    first, second = INPUTS * WIDTH * SHARE, WIDTH * WIDTH * SHARE
    adds = BATCH * (first + second * SHARE)
    floats = first + second
    if training:
        adds += BATCH * (first * SHARE + 2 * second * SHARE * SHARE)
        floats += 7 * (first + second)
    return adds / peak_multiply_adds() + 4 * floats / bandwidth()


def run(rounds: int = 15) -> list[dict[str, object]]:
    """Return ratios to dense ReLU and to the reference, for a training step and for inference."""
    torch.manual_seed(0)
    x, y = torch.randn(BATCH, INPUTS), torch.randint(CLASSES, (BATCH,))
    steps = {name: training_step(model, x, y, name != "reference masked") for name, model in nets().items()}
    passes = {name: inference(model, x) for name, model in nets().items()}
    rows = rows_of("training step", interleave(steps, rounds, warm_up=2), floor_seconds(training=True))
    return rows + rows_of("inference", interleave(passes, rounds, warm_up=2), floor_seconds(training=False))


def rows_of(case: str, timings: dict[str, Timing], floor: float) -> list[dict[str, object]]:
    return [
        {
            "case": f"{case} 784-4000-4000-10, {SHARE:.0%} winners and weights",
            "contender": name,
            "seconds": round(timing.median, 5),
            "least seconds": round(min(timing.seconds), 5),
            "faster than reference": round(ratio(timings, "reference masked", name), 2),
            "faster than dense": round(ratio(timings, "dense ReLU", name), 2),
            "times the floor": round(min(timing.seconds) / floor, 1),
        }
        for name, timing in timings.items()
    ]


def crossover(rounds: int = 15) -> list[dict[str, object]]:
    """Return, for one 4000 × 4000 layer, the time of each kind of loop against density and share of active inputs."""
    rows: list[dict[str, object]] = []
    for density in (0.01, 0.05, 0.2):
        for on in (0.005, 0.05, 0.1, 0.2, 1.0):
            x = torch.randn(BATCH, WIDTH) * (torch.rand(BATCH, WIDTH) < on)
            weights = torch.randn(BATCH, WIDTH) * (torch.rand(BATCH, WIDTH) < min(on, 0.05))
            contenders: dict[str, Callable[[], object]] = {}
            for method in ("dense", "active"):
                layer = SparseLinear(WIDTH, WIDTH, density=density, inputs="winners", method=method)
                contenders[method] = backward_of(layer, x, weights)
            contenders["nn.Linear"] = backward_of(nn.Linear(WIDTH, WIDTH), x, weights)
            timings = interleave(contenders, rounds)
            least = {name: round(min(timing.seconds), 5) for name, timing in timings.items()}
            rows.append({"density": density, "active inputs": on, **least})
    return rows


def backward_of(layer: nn.Module, x: Tensor, weights: Tensor) -> Callable[[], None]:
    """Return a forward and backward pass with a given gradient of the outputs."""
    x = x.clone().requires_grad_()

    def both() -> None:
        layer.zero_grad()
        x.grad = None
        torch.autograd.backward(layer(x), weights)

    return both


def multiplications(rounds: int = 15) -> list[dict[str, object]]:
    """Return the time of W·x alone, 4000 × 4000 at 5 %, batch 128, for a dense x: our loop, MKL's CSR, dense."""
    from cl_sparse.layers import sparse_loops

    layer, x = SparseLinear(WIDTH, WIDTH, density=SHARE), torch.randn(WIDTH, BATCH)
    values, dense = layer.values.detach(), layer.to_masked().weight.detach()
    csr = as_csr(layer.layout.wiring, values, (WIDTH, WIDTH))
    contenders: dict[str, Callable[[], object]] = {
        "loop along the batch": lambda: sparse_loops.along_batch(layer.layout, values, x, to_majors=True),
        "torch.sparse CSR (MKL)": lambda: csr @ x,
        "dense": lambda: dense @ x,
    }
    return [{"product": name, "seconds": round(t.median, 5)} for name, t in interleave(contenders, rounds).items()]
