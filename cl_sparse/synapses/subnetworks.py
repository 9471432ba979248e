"""Supermasks and winning subnetworks: each task learns which weights of one net to use."""

from collections.abc import Iterable
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from cl_sparse.layers.parts import PartsOfNet, refuse_live
from cl_sparse.synapses.leaving import is_left, left_alone
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.task_parts import TaskParts


class ChosenNet(PartsOfNet):
    """A net with a score per weight; a task computes with the weights of the highest scores.

    They are the highest as the papers say; the authors' programs rank by absolute value.

    Args:
        net: any.
        n_tasks: tasks that there will be.
        share: of each layer's weights that a task uses.
        leave: parameters that every task uses, as shell patterns of their names in the net.

    Attributes:
        open_task: the task that is being trained: it computes with what the scores say now, and they get its gradient.
            -1: none.
    """

    def __init__(self, net: nn.Module, n_tasks: int, share: float, leave: tuple[str, ...] = ()) -> None:
        super().__init__(net, n_tasks)
        self.share, self.open_task = share, -1
        self.scored: dict[str, str] = {}
        left = left_alone(dict(net.named_parameters()), leave)
        for name, parameter in net.named_parameters():
            if parameter.dim() > 1 and name not in left:
                key = self.scored[name] = name.replace(".", "_")
                self.register_parameter(f"score_{key}", nn.Parameter(torch.empty_like(parameter)))
                chosen = torch.zeros(n_tasks, *parameter.shape, dtype=torch.bool)
                self.register_buffer(f"chosen_{key}", chosen)
        self.draw_scores()

    def draw_scores(self) -> None:
        """Draw all scores anew, from torch's random numbers."""
        for name in self.scored:
            nn.init.kaiming_uniform_(self.score(name), a=5**0.5)

    def score(self, name: str) -> nn.Parameter:
        """Return the scores of a weight of the net."""
        return self.get_parameter(f"score_{self.scored[name]}")

    def chosen(self, name: str) -> Tensor:
        """Return what each task has chosen of a weight of the net, bool (tasks, ...)."""
        return self.get_buffer(f"chosen_{self.scored[name]}")

    def best(self, name: str) -> Tensor:
        """Return the weights with the highest scores now, bool, exactly the share (rounded, at least one)."""
        score = self.score(name).detach()
        return _largest(score.flatten(), max(1, round(self.share * score.numel()))).view_as(score)

    def part(self, task: int) -> dict[str, Tensor]:
        """Return the weights, those that the task does not use set to zero."""
        weights = dict(self.net.named_parameters())
        if task != self.open_task:
            return {name: weights[name] * self.chosen(name)[task] for name in self.scored}
        return {name: weights[name] * self._passing(name) for name in self.scored}

    def _passing(self, name: str) -> Tensor:
        """Return the mask as numbers whose gradient is the scores' (the straight-through estimator)."""
        score = self.score(name)
        return self.best(name).to(score.dtype) + score - score.detach()


def _largest(values: Tensor, n: int) -> Tensor:
    """Return which are the n largest, bool; of equal ones any."""
    if values.device.type == "cpu" and values.dtype in (torch.float32, torch.float64):
        least = np.partition(values.numpy(), len(values) - n)[len(values) - n]  # faster than topk
        chosen = values >= float(least)
        if int(chosen.sum()) == n:
            return chosen
    chosen = torch.zeros_like(values, dtype=torch.bool)
    chosen[values.topk(n, sorted=False).indices] = True
    return chosen


class _Subnetworks(TaskParts):
    kind = ChosenNet
    net: ChosenNet

    def __init__(self, share: float, leave: list[str] | None) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, not {share}")
        self.share, self.leave = share, tuple(leave or ())

    def wrap(self, net: nn.Module, n_tasks: int) -> ChosenNet:
        """Return the net with scores.

        Raises:
            ValueError: a layer stores its live synapses only, or a pattern of ``leave`` matches no parameter.
        """
        refuse_live(net)
        return ChosenNet(net, n_tasks, self.share, self.leave)

    def before_task(self, task: int) -> None:
        """Let the task choose."""
        self.net.open_task = task

    @torch.no_grad()
    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Keep the choice."""
        for name in self.net.scored:
            self.net.chosen(name)[task] = self.net.best(name)
        self.net.open_task = -1

    def _others(self) -> list[str]:
        """Return the parameters of the net that nobody chooses from, nor are left to themselves."""
        names = [name for name, _ in self.net.net.named_parameters() if name not in self.net.scored]
        return [f"net.{name}" for name in names if not is_left(name, self.leave)]


_SHARE = Annotated[float, Field(gt=0, le=1, description="Share of each layer's weights that a task uses.")]
_LEAVE = Annotated[
    list[str] | None,
    Field(description="What every task uses, as patterns of parameters' names: [classifier*] for a head per task."),
]


class WinningSubnetworks(_Subnetworks):
    """Winning subnetworks, WSN (Kang et al. 2022).

    Weights and scores are trained together; a task uses the share of each layer's weights with the highest scores,
    whatever earlier tasks use, and the gradient reaches the scores as if the mask were they. When it ends its choice
    is kept, and the weights in it never change again. Scores go on to the next task. Biases are trained by the first
    task only.

    Args:
        share: c, of each layer's weights that a task uses.
        leave: parameters that every task uses, as shell patterns of their names: a head per task.

    Raises:
        ValueError: ``share`` is out of range.
    """

    def __init__(self, share: _SHARE = 0.3, leave: _LEAVE = None) -> None:
        super().__init__(share, leave)

    @torch.no_grad()
    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Keep the choice, and the weights in it."""
        super().after_task(task, batches)
        free = {f"net.{name}": (~self.net.chosen(name)[: task + 1].any(0)).float() for name in self.net.scored}
        self.let_through({**free, **dict.fromkeys(self._others(), 0.0)})


class Supermasks(_Subnetworks):
    """Supermasks in superposition, SupSup (Wortsman et al. 2020), with the task's label at test ("GG").

    Weights are random and stay: ± the standard deviation of Kaiming's initialisation. Each task learns scores of its
    own from new random ones, and uses the weights with the highest. Biases stay zero.

    Args:
        share: of each layer's weights that a task uses.
        leave: parameters that are trained as usual, as shell patterns of their names: a head per task.

    Raises:
        ValueError: ``share`` is out of range.
    """

    def __init__(self, share: _SHARE = 0.3, leave: _LEAVE = None) -> None:
        super().__init__(share, leave)

    @torch.no_grad()
    def wrap(self, net: nn.Module, n_tasks: int) -> ChosenNet:
        """Return the net with scores, its weights drawn anew."""
        wrapped = super().wrap(net, n_tasks)
        for name, parameter in net.named_parameters():
            if name in wrapped.scored:
                parameter.copy_(parameter.new_empty(parameter.shape).uniform_(-1, 1).sign_())
                parameter.mul_((2 / parameter[0].numel()) ** 0.5)
            elif not is_left(name, self.leave):
                parameter.zero_()
        return wrapped

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Hold the weights."""
        super().attach(ledger, generator)
        self.let_through(dict.fromkeys([*(f"net.{name}" for name in self.net.scored), *self._others()], 0.0))

    @torch.no_grad()
    def before_task(self, task: int) -> None:
        """Let the task choose, from new scores without momentum."""
        super().before_task(task)
        for name in self.net.scored:
            score = self.net.score(name)
            drawn = torch.rand(score.shape, generator=self.generator).mul_(2).sub_(1).div_(score[0].numel() ** 0.5)
            score.copy_(drawn)
            if self.ledger.optimizer is not None:
                self.ledger.optimizer.state.pop(score, None)
