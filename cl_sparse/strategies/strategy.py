"""What a strategy is: plugins, and how the learner meets the stream."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Strategy:
    """A named way of learning a stream.

    Attributes:
        plugins: the method, as ``{"name": ..., **arguments}`` per plugin.
        trains_once: train only when the last task has come (for a plugin that then trains on all tasks' data).
        net_per_task: keep a fresh net for every task; the task label chooses it, in training and at test, unless a
            plugin infers it.
        budget: the rule for how much it trains, in words, for the result.
    """

    plugins: tuple[dict[str, Any], ...] = ()
    trains_once: bool = False
    net_per_task: bool = False
    budget: str = "train_ep epochs of the first task's data, train_ep_inc epochs of each later task's"
