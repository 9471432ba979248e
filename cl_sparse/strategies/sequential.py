"""Plain training on one task after another: the lower baseline."""

from cl_sparse.strategies.strategy import Strategy

SEQUENTIAL = Strategy()
