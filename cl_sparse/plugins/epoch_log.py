"""A plugin that notes something after each training epoch: what such plugins share."""

from typing import Any, ClassVar

from pydantic import BaseModel

from cl_sparse.plugins.base import Plugin


class EpochLog(Plugin):
    """Keeps an entry for each training epoch, over all tasks, through a restart.

    Attributes:
        entry: what an epoch's entry has to be.
        epochs: the entries so far.
    """

    entry: ClassVar[type[BaseModel]]
    looks_at_weights = False

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the epochs recorded so far."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them.

        Raises:
            ValueError: they are no such record.
        """
        self.epochs = [self.entry.model_validate(epoch).model_dump() for epoch in state["epochs"]]
