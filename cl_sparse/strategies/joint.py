"""Cumulative training, first meaning: once, on the union of all tasks. The source's ``cumul: true``."""

from cl_sparse.strategies.strategy import Strategy

JOINT = Strategy(
    plugins=({"name": "joint"},),
    trains_once=True,
    budget="train_ep epochs of all tasks' data together: sequential training's steps when train_ep = train_ep_inc",
)
