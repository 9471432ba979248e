"""Experience replay: each step also trains on stored samples of earlier tasks."""

from cl_sparse.strategies.strategy import Strategy

REPLAY = Strategy(
    plugins=({"name": "replay"},),
    budget="as sequential; each step adds a mini-batch from the memory, so a step costs about twice as much",
)
