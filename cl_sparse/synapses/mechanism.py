"""What every mechanism for synapses is: a few moments at which it may act, and what it needs there."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from cl_sparse.synapses.ledger import Ledger
    from cl_sparse.synapses.step import Step


class Needs(IntEnum):
    """What a mechanism needs of weights and gradients; it decides how a net may compute.

    NOTHING, and BOUNDARIES (where one task ends and the next begins), leave a net every way to compute. TOUCHED means
    what changed at the synapses that took part in a step, which the layers that compute only what wins can give. ALL
    means all weights and gradients at every step, which these cannot give.
    """

    NOTHING = 0
    BOUNDARIES = 1
    TOUCHED = 2
    ALL = 3


class Mechanism:
    """Something that may happen to synapses. It works in a plain loop, through a ``Ledger``, and in Avalanche.

    A mechanism keeps numbers per synapse with ``ledger.keep``, so that they follow when synapses move; only what else
    must survive a restart goes into :meth:`state_dict`.

    Attributes:
        name: under which the ledger knows it, from :meth:`attach` on.
        needs: what it needs of weights and gradients.
        task_info: what it is told about the task, in training and at test: "none", "boundaries" or "label" each; at
            test it may be "inferred per sample" as well.
        fractional: whether it scales updates by factors other than 0 and 1.
        looks_at_steps: whether :meth:`after_step` looks at what a step touched; if nobody does, ``step.touched`` is
            empty, and a step costs less.
        edits_gradients: whether :meth:`before_step` changes gradients; the others see them as they were.
        dense_forward: whether layers have to compute all their units, not only what wins.
        resizes: whether it removes or adds units.
        follows_units: whether what it holds follows when another one does, as all does that the ledger keeps.
        one_net: whether it needs one net for all tasks, and not a net for each.
    """

    name: str = ""
    needs: Needs = Needs.NOTHING
    task_info: tuple[str, str] = ("none", "none")
    fractional: bool = False
    looks_at_steps: bool = True
    edits_gradients: bool = False
    dense_forward: bool = False
    resizes: bool = False
    follows_units: bool = True
    one_net: bool = False

    def wrap(self, net: nn.Module, n_tasks: int) -> nn.Module:
        """Return what is trained in the net's place, before there is an optimizer; by default the net itself.

        Args:
            net: as it was built.
            n_tasks: in the stream.

        Raises:
            ValueError: the mechanism cannot work with the net.
        """
        return net

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Take part in a training from now on.

        Args:
            ledger: owns the synapses and what belongs to them.
            generator: for everything random in this mechanism; seeded anew before every task.
        """

    def see_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Training on task number ``task`` is about to begin; ``batches`` are its training data, ``(x, y, ...)``."""

    def see_held_out(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """``batches`` are data of task number ``task`` that are not trained on, ``(x, y, ...)``; there may be none."""

    def before_task(self, task: int) -> None:
        """Training on task number ``task`` begins."""

    def before_epoch(self, epoch: int, epochs: int, steps: int) -> None:
        """Pass number ``epoch`` of ``epochs`` over the task's data begins, of ``steps`` optimizer steps."""

    def after_epoch(self) -> None:
        """The pass over the task's data has ended; nothing has been tested since."""

    def penalty(self) -> Tensor | float:
        """Return what to add to the loss of the step under way."""
        return 0.0

    def before_step(self) -> None:
        """The gradients are there, and may be changed in place. Called with ``needs`` of ALL only."""

    def after_step(self, step: Step) -> None:
        """The optimizer has taken a step. Called with ``needs`` of TOUCHED or ALL only."""

    def after_task(self, task: int, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Training on task number ``task`` has ended; ``batches`` are its training data, ``(x, y, ...)``, once more."""

    def statistics(self) -> dict[str, Any]:
        """Return what it has measured, for the result: numbers, texts, NumPy arrays, lists and dicts of these."""
        return {}

    @property
    def nbytes(self) -> int:
        """Bytes it carries from task to task beside the kept numbers."""
        return 0

    def state_dict(self) -> dict[str, Any]:
        """Return what must survive a restart beside the kept numbers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
