"""A block of new units for each task."""

from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from cl_sparse.layers import FlexibleLayer
from cl_sparse.layers.filter_placement import filters_of
from cl_sparse.synapses.blocks import append_block, check_growable, only_from, widths
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.update_scale import scale_updates


class GrownUnits(Mechanism):
    """Append units to each hidden layer before each task but the first.

    What reads them starts at 0, so that without k-winners the outputs are those of before. With filters and their cost
    in the net (``SparsifiedUnits``, ``NeuronGC``) what a task does not need is given back while it is learned.

    Args:
        units: appended to each hidden layer.
        train: "all": all units go on learning; "block": the new ones and the output layers alone do. The older units
            then compute the same for ever, bit for bit, but for the statistics of batch normalisation and the
            competition of k-winners: with a head for each task nothing is forgotten.

    Raises:
        ValueError: an argument is out of range.
    """

    needs = Needs.BOUNDARIES
    task_info = ("boundaries", "none")
    resizes = True
    one_net = True

    def __init__(
        self,
        units: Annotated[int, Field(ge=1, le=10**6, description="Units appended to each hidden layer.")] = 50,
        train: Annotated[
            Literal["all", "block"], Field(description="Who learns then: all units, or the new ones alone.")
        ] = "all",
    ) -> None:
        if units < 1 or train not in ("all", "block"):
            raise ValueError(f"units must be at least 1 and train all or block, not {units} and {train}")
        self.units, self.train = units, train

    def attach(self, ledger: Ledger, generator: torch.Generator) -> None:
        """Start with the net as it is.

        Raises:
            ValueError: it is not known of any layer who reads its units; or a block is to be trained alone, and a layer
                has a window, which would change its older units.
        """
        check_growable(ledger)
        windows = [own for _, own in filters_of(ledger.model).values() if isinstance(own, FlexibleLayer)]
        if self.train == "block" and windows:
            raise ValueError(
                "train: block cannot hold older units: a window moves for all units of a layer together: choose all"
            )
        self.ledger, self.tasks = ledger, 0
        if self.train == "block":
            self.updates = scale_updates(ledger, {}, owner=self.name)

    def before_task(self, task: int) -> None:
        """Append a block."""
        self.tasks += 1
        if self.tasks == 1:
            return
        start = widths(self.ledger)
        append_block(self.ledger, self.units)
        if self.train == "block":
            self.updates.set(only_from(self.ledger, start))

    def state_dict(self) -> dict[str, Any]:
        """Return how many tasks there have been."""
        return {"tasks": self.tasks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self.tasks = state["tasks"]
