"""NumPy views of tensors, which is what compiled loops work on, and the groups of arrays that go together."""

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

Array = np.ndarray[Any, Any]


class Active(NamedTuple):
    """The units, inputs or majors that are on in each sample, and a number for each: a value or a gradient.

    Attributes:
        indices: (B, m) int64; -1 for an entry that stands for nothing.
        values: (B, m) floating.
    """

    indices: Array
    values: Array


class Weights(NamedTuple):
    """A dense linear layer.

    Attributes:
        weight: (inputs, units), contiguous: an input's weights are one row.
        bias: (units,).
    """

    weight: Array
    bias: Array


class Matrix(NamedTuple):
    """A sparse matrix, walked by its major axis.

    Attributes:
        pointers: (majors + 1,) int32 or int64, where the synapses of each major end.
        minors: (nnz,) uint32 or uint64, the other end of each synapse.
        values: (nnz,) their weights.
    """

    pointers: Array
    minors: Array
    values: Array


class Entries(NamedTuple):
    """A dense (B, inputs) array as a level and what differs from it.

    Attributes:
        ends: (B + 1,) int64, where the entries of each sample end.
        columns: (entries,) int64, ascending in a sample.
        values: (entries,) less the level.
        level: the number that all others are.
    """

    ends: Array
    columns: Array
    values: Array
    level: Any


class Found(NamedTuple):
    """What a search writes.

    Attributes:
        winners: (B, k) int64, the units.
        kept: (B, k) their pre-activations.
        rate: (units,) the share of the samples that each unit is a positive winner of.
    """

    winners: Array
    kept: Array
    rate: Array


def array(tensor: Tensor) -> Array:
    """Return a NumPy view of a CPU tensor, in its shape and memory layout."""
    return tensor.detach().numpy()
