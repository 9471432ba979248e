"""Blocks of units, appended as long as they help."""

from collections.abc import Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from cl_sparse.errors import UserError
from cl_sparse.layers import Sparsifier
from cl_sparse.synapses.blocks import append_block, only_from, remove_block, widths
from cl_sparse.synapses.filtered_units import FilteredUnits
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.neuron_gc import dead_units, remove_units
from cl_sparse.synapses.observing import observing
from cl_sparse.synapses.passes import first, logits_of, loss_of_classes
from cl_sparse.synapses.update_scale import scale_updates


class BlockGrowth(FilteredUnits):
    """Append a block to each hidden layer, train it alone, and keep it if the loss falls (Leclerc 2017, section 16).

    A task's epochs go by in rounds. The first round shows how far the net gets as it is: in the first task all of it is
    trained, later the output layers alone. In each round after that a block is appended and trained, with the output
    layers, at the cost λ·Σ ReLU(f) of its filters. At the round's end

    - the block has collapsed, if in some layer all its filters are 0: the net is put back, and λ divided by ``decay``;
    - it is accepted, if the loss has fallen by ``improvement``: its dead units go, the next one is larger;
    - or else it is rejected: the net is put back, and the task goes on with what it was given.

    The loss is that of data of the task that are held out of training (``validation`` in an experiment). The output
    layers learn in each round too, so a round too short for them speaks for the block.

    Args:
        units: of the first block of a task, in each hidden layer.
        factor: on the size of the next block when one was accepted.
        patience: epochs of a round.
        improvement: share of the loss by which it has to fall.
        strength: λ for the first block of a task.
        decay: what λ is divided by when a block collapsed.
        least: of λ; growth ends below it.
        filter_lr: learning rate of the filters; None: that of the weights.
        samples: held out of a task, the first ones, on which the loss is measured.

    Raises:
        ValueError: an argument is out of range.
    """

    resizes = True

    def __init__(
        self,
        units: Annotated[int, Field(ge=1, le=10**6, description="Units of a task's first block, per layer.")] = 20,
        factor: Annotated[float, Field(ge=1, description="On the size of the next block after one is kept.")] = 2.0,
        patience: Annotated[int, Field(ge=1, description="Epochs of a round.")] = 4,
        improvement: Annotated[
            float, Field(ge=0, lt=1, description="Share of the loss by which it has to fall for a block to be kept.")
        ] = 0.05,
        strength: Annotated[float, Field(ge=0, description="λ: what a filter of 1 costs.")] = 1.0,
        decay: Annotated[float, Field(gt=1, description="What λ is divided by when a block collapsed.")] = 5.0,
        least: Annotated[float, Field(gt=0, description="Growth ends when λ falls below this.")] = 1e-7,
        filter_lr: Annotated[
            float | None, Field(gt=0, description="Learning rate of the filters; null: that of the weights.")
        ] = None,
        samples: Annotated[int, Field(ge=1, description="Held-out samples on which the loss is measured.")] = 1000,
    ) -> None:
        super().__init__(strength, decay, filter_lr, samples=samples)
        if units < 1 or not factor >= 1 or patience < 1:
            raise ValueError(f"units, factor and patience must be at least 1, not {units}, {factor} and {patience}")
        if not 0 <= improvement < 1 or not decay > 1 or not least > 0:
            raise ValueError(
                f"improvement must be from 0 to below 1, decay above 1 and least above 0, not {improvement}, {decay} "
                f"and {least}"
            )
        self.units, self.factor, self.patience = units, factor, patience
        self.improvement, self.least = improvement, least
        self.task_info = ("boundaries", "none")
        self.history: list[dict[str, Any]] = []
        self._held_out: Iterable[tuple[Tensor, ...]] = ()
        self._snapshot: dict[str, Tensor] | None = None  # of the net without the block that is being trained

    def make(self, n: int, cost: float) -> Sparsifier:
        """Return a filter for n units."""
        return Sparsifier(n, cost)

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with the net as it is; see the base class."""
        super().attach(ledger, generator)
        self.updates = scale_updates(ledger, {}, owner=self.name)
        self._start = self._block = widths(ledger)
        self.tasks = 0

    # -------------------- moments

    def see_held_out(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Keep the data for measuring the loss.

        Raises:
            UserError: there are none.
        """
        if next(iter(batches), None) is None:
            raise UserError(f"{self.name} judges blocks by data that are held out: set validation above 0")
        self._held_out = batches

    def before_task(self, task: int) -> None:
        """Begin with the net as it is."""
        super().before_task(task)
        self.tasks += 1
        self._task, self._size, self._since = task, self.units, 0
        self._growing, self._snapshot = True, None
        self._start = self._block = widths(self.ledger)
        if self.tasks > 1:
            self.updates.set(only_from(self.ledger, self._start))

    def before_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """End a round, and begin the next if there is time for it."""
        if not self._growing or epoch - self._since < self.patience:
            return
        self._end_round()
        self._growing = self._growing and epochs - epoch >= self.patience
        if self._growing:
            self._begin_block(epoch)
        else:
            self._train_what_the_task_has()

    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Judge the last block."""
        if self._snapshot is not None:
            self._end_round()
        self._collect()
        self._block = widths(self.ledger)
        self._held_out = ()

    def exempt(self, layer: str) -> Tensor | None:
        """Return which units of a layer are not of the block."""
        _, own = self.filters[layer]
        return torch.arange(own.n, device=next(own.parameters()).device) < self._block[layer]

    # -------------------- what they do

    def _begin_block(self, epoch: int) -> None:
        self._collect()  # now, and not while there is a net to go back to
        self._since, self._block = epoch, widths(self.ledger)
        self._snapshot = {name: value.clone() for name, value in self.ledger.model.state_dict().items()}
        append_block(self.ledger, self._size)
        self.updates.set(only_from(self.ledger, self._block))

    def _end_round(self) -> None:
        loss = self._loss()
        if self._snapshot is None:
            self._best = loss
            return
        fate = self._judge(loss)
        self.history.append(
            {
                "task": self._task,
                "units": self._size,
                "fate": fate,
                "strength": self.strength_now,
                "loss_before": self._best,
                "loss_after": loss,
            }
        )
        if fate == "accepted":
            self._accept(loss)
            return
        self._put_back()
        self._growing = fate == "collapsed"
        if self._growing:
            self.strength_now /= self.decay
            self._growing = self.strength_now >= self.least

    def _judge(self, loss: float) -> str:
        if any(bool(own.dead()[self._block[layer] :].all()) for layer, (_, own) in self.filters.items()):
            return "collapsed"
        return "accepted" if loss < self._best * (1 - self.improvement) else "rejected"

    def _accept(self, loss: float) -> None:
        self._best, self._snapshot = loss, None
        self._size = round(self._size * self.factor)
        self._collect()

    def _collect(self) -> None:
        for layer, dead in dead_units(self.ledger).items():
            remove_units(self.ledger, layer, dead)

    def _put_back(self) -> None:
        """Remove the block, and undo what training it did to the output layers."""
        remove_block(self.ledger, self._block)
        assert self._snapshot is not None
        self.ledger.model.load_state_dict(self._snapshot)
        self._snapshot = None
        if self.ledger.optimizer is not None:
            self.ledger.optimizer.state.clear()

    def _train_what_the_task_has(self) -> None:
        """Let all learn that the task was given, at no cost; in the first task that is the whole net."""
        self._block = widths(self.ledger)
        start = self._start if self.tasks > 1 else dict.fromkeys(self._start, 0)
        self.updates.set(only_from(self.ledger, start))

    @torch.no_grad()
    def _loss(self) -> float:
        total, seen = 0.0, 0
        with observing(self.ledger.model) as model:
            for batch in first(self._held_out, self.samples):
                total += float(loss_of_classes(logits_of(model, batch), batch[1])) * len(batch[0])
                seen += len(batch[0])
        return total / seen

    # -------------------- results

    def statistics(self) -> dict[str, Any]:
        """Return what became of each block: task, units, fate, λ, the loss before and after."""
        return {"blocks": self.history}

    def state_dict(self) -> dict[str, Any]:
        """Return the blocks so far, and how many tasks there have been."""
        return {"blocks": self.history, "tasks": self.tasks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self.history, self.tasks = list(state["blocks"]), state["tasks"]
