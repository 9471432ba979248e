"""A fresh net for every task: what a task is worth alone, with nothing to forget."""

from cl_sparse.strategies.strategy import Strategy

INDEPENDENT_INFERRED = Strategy(
    plugins=({"name": "context_means"},),
    net_per_task=True,
    budget="train_ep epochs of the first task's data, train_ep_inc of each later task's, each in a net of its own",
)
INDEPENDENT = Strategy(
    net_per_task=True,
    budget="train_ep epochs of the first task's data, train_ep_inc of each later task's, each in a net of its own",
)
