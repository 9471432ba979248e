"""k-winners layers: the state that boosting needs, and the layer for units in a row."""

import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from cl_sparse.layers.functional import HALF, boosted, keep_winners


class KWinnersBase(nn.Module):
    """What all k-winners layers share: the boost strength and the running duty cycle of each unit.

    Both are buffers, under nupic.torch's names, so that its checkpoints load. They stay in single precision (or better)
    when the model is cast to half precision, where steps of 1/``duty_cycle_period`` would be rounded away.

    Args:
        percent_on: share of units that win in training, 0 to 1.
        k_inference_factor: factor on the number of winners in evaluation mode (never more than all units win).
        boost_strength: strength of boosting at the start, at least 0; 0 is plain top-k.
        boost_strength_factor: factor on the boost strength at each :meth:`update_boost_strength`.
        duty_cycle_period: number of recent samples that the duty cycle averages over.

    Raises:
        ValueError: a number is out of its range.
    """

    boost_strength: Tensor
    duty_cycle: Tensor
    break_ties: bool
    observed: bool = False
    """Whether a passive pass is under way: as many winners as in training, and the duty cycle stays."""

    def __init__(
        self,
        percent_on: float,
        k_inference_factor: float = 1.0,
        boost_strength: float = 1.0,
        boost_strength_factor: float = 1.0,
        duty_cycle_period: int = 1000,
    ) -> None:
        super().__init__()
        if not 0.0 <= percent_on <= 1.0:
            raise ValueError(f"percent_on must be from 0 to 1, not {percent_on}")
        for name, value in (
            ("k_inference_factor", k_inference_factor),
            ("boost_strength", boost_strength),
            ("boost_strength_factor", boost_strength_factor),
        ):
            if not value >= 0.0:
                raise ValueError(f"{name} must be at least 0, not {value}")
        if duty_cycle_period < 1:
            raise ValueError(f"duty_cycle_period must be at least 1 sample, not {duty_cycle_period}")
        self.percent_on = percent_on
        self.k_inference_factor = k_inference_factor
        self.boost_strength_factor = boost_strength_factor
        self.duty_cycle_period = duty_cycle_period
        self.learning_iterations = 0
        self.n = 0
        self.k = 0
        self.k_inference = 0
        self.register_buffer("boost_strength", torch.tensor(boost_strength, dtype=torch.float32))

    def extra_repr(self) -> str:
        """Return the settings, for ``repr``."""
        return (
            f"n={self.n}, percent_on={self.percent_on}, k_inference_factor={self.k_inference_factor}, "
            f"boost_strength_factor={self.boost_strength_factor}, duty_cycle_period={self.duty_cycle_period}"
        )

    @property
    def k_now(self) -> int:
        """Number of winners in the present mode."""
        return self.k if self.training or self.observed else self.k_inference

    @property
    def counts_now(self) -> bool:
        """Whether the duty cycle is to move in the present mode."""
        return self.training and not self.observed

    def update_boost_strength(self) -> None:
        """Multiply the boost strength by ``boost_strength_factor``. To be called once per epoch."""
        self.boost_strength.mul_(self.boost_strength_factor)

    def update_duty_cycle(self, x: Tensor) -> None:
        """Count which units are on (> 0) in the layer's output ``x`` and move the duty cycle towards it.

        For a batch of B samples, period = min(duty_cycle_period, samples seen, this batch included) and
        duty ← (duty·(period − B) + count)/period. A batch larger than the period would give the old duty cycle a
        negative weight; there the batch counts as one period, and the new duty cycle is the mean over the batch.
        """
        if x.shape[0]:
            self._move_duty_cycle(self._on_rate(x.detach()), x.shape[0])

    def entropy(self) -> Tensor:
        """Return the sum over the units of the binary entropy of their duty cycles, in bits (a scalar tensor)."""
        duty = self.duty_cycle
        nats: Tensor = -(torch.special.xlogy(duty, duty) + torch.special.xlogy(1 - duty, 1 - duty)).sum()
        return nats / math.log(2)

    def max_entropy(self) -> float:
        """Return the entropy, in bits, if all units won equally often: n·H(on/n) with on = int(n·percent_on).

        Rounded down, as in nupic.torch: where k = round(n·percent_on) is more, the entropy can exceed it a little.
        """
        winners = int(self.n * self.percent_on)
        if not 0 < winners < self.n:
            return 0.0
        on = winners / self.n
        return -self.n * (on * math.log2(on) + (1 - on) * math.log2(1 - on))

    @property
    def width(self) -> int:
        """Number of units that have a duty cycle of their own: units in a row, or channels."""
        return self.duty_cycle.numel()

    def resize(self, width: int) -> None:
        """Count winners anew for another :attr:`width`; whoever calls it resizes the duty cycle."""
        raise TypeError(f"a {type(self).__name__} cannot be resized to {width}")

    def _breaks_ties(self, x: Tensor) -> bool:
        """Return whether exactly k win: in 16 bits many units tie that do not otherwise."""
        return self.break_ties or x.dtype in HALF

    def _set_units(self, n: int, k: int, k_inference: int) -> None:
        self.n, self.k, self.k_inference = n, k, min(k_inference, n)

    def _on_rate(self, x: Tensor) -> Tensor:
        """Return the share of the batch (and locations) that each unit is on for, in the shape of the duty cycle."""
        return (x > 0).to(self.duty_cycle.dtype).mean(dim=0)

    @torch.no_grad()
    def _move_duty_cycle(self, rate: Tensor, batch_size: int) -> None:
        self.learning_iterations += batch_size
        period = min(self.duty_cycle_period, self.learning_iterations)
        self.duty_cycle.lerp_(rate, min(batch_size, period) / period)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        for name, buffer in self._buffers.items():
            if buffer is not None and buffer.dtype in HALF:
                self._buffers[name] = buffer.float()
        return self


class KWinners(KWinnersBase):
    """k-winners of a row of n units (after a linear layer).

    In training k = round(n·percent_on) units of each sample win, in evaluation mode int(k·k_inference_factor).

    Args:
        n: number of units.
        percent_on: share of units that win in training, 0 to 1.
        k_inference_factor: factor on the number of winners in evaluation mode.
        boost_strength: strength of boosting at the start; 0 is plain top-k.
        boost_strength_factor: factor on the boost strength at each :meth:`update_boost_strength`.
        duty_cycle_period: number of recent samples that the duty cycle averages over.
        break_ties: True for exactly k winners (of units that tie, the ones that ``torch.topk`` takes), False to let all
            units that tie with the k-th win too (never in 16 bits, where ties are many).
        relu: drop winners that are not positive.
        inplace: may overwrite the input.

    Shapes: input and output (B, n); buffer ``duty_cycle`` (n,).
    """

    def __init__(
        self,
        n: int,
        percent_on: float,
        k_inference_factor: float = 1.5,
        boost_strength: float = 1.0,
        boost_strength_factor: float = 0.9,
        duty_cycle_period: int = 1000,
        break_ties: bool = False,
        relu: bool = False,
        inplace: bool = False,
    ) -> None:
        super().__init__(percent_on, k_inference_factor, boost_strength, boost_strength_factor, duty_cycle_period)
        self.break_ties = break_ties
        self.relu = relu
        self.inplace = inplace
        self.resize(n)
        self.register_buffer("duty_cycle", torch.zeros(n))

    def forward(self, x: Tensor, excluded: Tensor | None = None) -> Tensor:
        """Keep the winners of each sample; in training, update the duty cycle as well.

        Args:
            x: (B, n).
            excluded: bool (n,) or (B, n), units that cannot win, as a gate may want; they get no gradient, and if fewer
                than k others are left, fewer win.

        Raises:
            ValueError: ``x`` is not of shape (B, n).
        """
        if x.dim() != 2 or x.shape[1] != self.n:
            raise ValueError(f"KWinners: the input must be of shape (B, {self.n}), not {tuple(x.shape)}")
        k = self.k_now
        ranking = boosted(x, self.duty_cycle, self.boost_strength)
        out, winners = keep_winners(x, ranking, k, self._breaks_ties(x), self.relu, self.inplace, excluded)
        if self.counts_now:
            if winners is None:
                self.update_duty_cycle(out)
            else:
                self._count_winners(out.detach(), winners)
        return out

    def resize(self, width: int) -> None:
        """See the base class."""
        k = round(width * self.percent_on)
        self._set_units(width, k, int(k * self.k_inference_factor))

    def _count_winners(self, out: Tensor, winners: Tensor) -> None:
        """As ``update_duty_cycle(out)``, but looking at the winners only."""
        if out.shape[0]:
            on = (out.gather(1, winners) > 0).to(self.duty_cycle.dtype).flatten()
            counts = torch.zeros_like(self.duty_cycle).scatter_add_(0, winners.flatten(), on)
            self._move_duty_cycle(counts / out.shape[0], out.shape[0])
