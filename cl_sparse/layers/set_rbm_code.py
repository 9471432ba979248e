"""Hidden units of a sparse restricted Boltzmann machine as fixed features."""

import math
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.layers.fixed_features import FixedFeatures
from cl_sparse.layers.set_rbm import SetRBM
from cl_sparse.metrics import is_square, square_means

_SLACK = 1e-5  # beyond 0 and 1, for samples that were turned


class SetRBMCode(FixedFeatures):
    """Probabilities of the hidden units of a :class:`SetRBM` that learns from the first samples, without labels.

    Its connections evolve after every epoch but the last. Samples are inputs from 0 to 1.

    Args:
        shape: of a sample.
        hidden: number of features.
        epsilon, zeta: as :class:`SetRBM`.
        samples: of the first task, drawn, that it learns from, at most.
        epochs: passes over them.
        steps: of each chain of contrastive divergence.
        batch: samples in a mini-batch.
        lr: learning rate.
        momentum: of SGD.
        weight_decay: share of every weight that goes at each step, whatever the learning rate.

    Raises:
        ValueError: epsilon is too large for the numbers of inputs and features.
    """

    learns_first = True
    from_0_to_1 = True
    errors: Tensor
    squares: Tensor
    learned: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden: Annotated[int, Field(ge=1, le=10**6, description="Hidden units.")] = 500,
        epsilon: Annotated[float, Field(ge=0, description="Connections per visible and hidden unit.")] = 11.0,
        zeta: Annotated[float, Field(ge=0, le=1, description="Share of each sign that moves after an epoch.")] = 0.3,
        samples: Annotated[int, Field(ge=1, description="Samples of the first task to learn from, at most.")] = 10_000,
        epochs: Annotated[int, Field(ge=1, le=10**6, description="Passes over them.")] = 60,
        steps: Annotated[int, Field(ge=1, description="Of each chain of contrastive divergence.")] = 1,
        batch: Annotated[int, Field(ge=1, description="Samples in a mini-batch.")] = 100,
        lr: Annotated[float, Field(gt=0, description="Learning rate.")] = 0.1,
        momentum: Annotated[float, Field(ge=0, lt=1, description="Momentum of SGD.")] = 0.5,
        weight_decay: Annotated[float, Field(ge=0, lt=1, description="Share of a weight that goes at a step.")] = 0.0,
    ) -> None:
        super().__init__()
        inputs = math.prod(shape)
        self.rbm = SetRBM(inputs, hidden, epsilon=epsilon, zeta=zeta).requires_grad_(False)
        self.width, self.samples, self.epochs, self.steps, self.batch = hidden, samples, epochs, steps, batch
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.register_buffer("errors", torch.zeros(epochs, dtype=torch.float64))
        sides = math.isqrt(inputs) // 2 if is_square(inputs) else 0
        self.register_buffer("squares", torch.zeros(epochs, sides, dtype=torch.float64))
        self.register_buffer("learned", torch.tensor(False))

    @property
    def fitted(self) -> bool:
        """Whether it has learned."""
        return bool(self.learned)

    def fit(self, samples: Tensor, generator: torch.Generator) -> None:
        """Learn from ``samples`` (n, ...); what is drawn comes from ``generator``.

        Raises:
            ValueError: they are not from 0 to 1.
        """
        v = samples.flatten(1)
        low, high = float(v.min()), float(v.max())
        if not (low >= -_SLACK and high <= 1 + _SLACK):
            raise ValueError(f"set_rbm needs inputs from 0 to 1, not from {low:.3g} to {high:.3g}")
        self.rbm.requires_grad_(True)
        optimizer = torch.optim.SGD(self.rbm.parameters(), lr=self.lr, momentum=self.momentum)
        for epoch in range(self.epochs):
            if epoch:
                self.rbm.evolve(optimizer, generator)
            self.errors[epoch] = self._pass_over(v, optimizer, generator)
            if self.squares.shape[1]:
                self.squares[epoch] = torch.as_tensor(square_means(self._per_input()))
        self.rbm.requires_grad_(False)
        self.rbm.zero_grad()
        self.learned.fill_(True)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Return (B, hidden), from 0 to 1."""
        chance: Tensor = self.rbm(x.flatten(1))
        return chance

    def multiply_adds(self) -> int:
        """See the base class."""
        return self.rbm.connections.values.numel()

    def statistics(self) -> dict[str, Any]:
        """Return the mean squared error of reconstructed inputs in each epoch, and where the connections are.

        Connections and squares are as ``set_layers`` has them: of each input at the end, (inputs,), and, where the
        inputs are a square image, the mean within squares around its centre after each epoch, (epochs, side/2).
        Nothing before it has learned.
        """
        if not self.fitted:
            return {}
        squares = {"squares": self.squares.cpu().numpy()} if self.squares.shape[1] else {}
        return {"reconstruction_error": self.errors.cpu().numpy(), "connections": self._per_input(), **squares}

    def _per_input(self) -> Any:
        return self.rbm.connections.connections_per_input().cpu().numpy()

    @torch.enable_grad()
    def _pass_over(self, v: Tensor, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> float:
        """Take a step for each mini-batch; return the mean squared error of all that was reconstructed."""
        error = 0.0
        for batch in self._batches(v, generator):
            loss, end = self.rbm.contrast(batch, self.steps, generator)
            error += float((end - batch).square().mean()) * len(batch)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            self.rbm.decay(self.weight_decay)
            optimizer.step()
        return error / len(v)

    def _batches(self, v: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
        for rows in torch.split(torch.randperm(len(v), generator=generator), self.batch):
            yield v[rows.to(v.device)]
