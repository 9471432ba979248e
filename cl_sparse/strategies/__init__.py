"""Strategies: a name, the plugins that make it up, and how it meets the stream."""

from cl_sparse.strategies.cumulative import CUMULATIVE
from cl_sparse.strategies.independent import INDEPENDENT, INDEPENDENT_INFERRED
from cl_sparse.strategies.joint import JOINT
from cl_sparse.strategies.learner import Learner
from cl_sparse.strategies.multi_task import MultiTask
from cl_sparse.strategies.replay import REPLAY
from cl_sparse.strategies.sequential import SEQUENTIAL
from cl_sparse.strategies.strategy import Strategy

__all__ = [
    "CUMULATIVE",
    "INDEPENDENT",
    "INDEPENDENT_INFERRED",
    "JOINT",
    "REPLAY",
    "SEQUENTIAL",
    "Learner",
    "MultiTask",
    "Strategy",
]
