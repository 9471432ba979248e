"""Cumulative training, second meaning: after each task, on all data so far, going on from the same net."""

from cl_sparse.strategies.strategy import Strategy

CUMULATIVE = Strategy(
    plugins=({"name": "cumulative"},),
    budget="train_ep_inc epochs (first task: train_ep) of all data so far: the steps per task grow with the stream",
)
