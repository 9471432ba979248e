"""What a network is made of: k-winners and sparse weights. Plain torch, under nupic.torch's names."""

from cl_sparse.layers.boosting import update_boost_strength
from cl_sparse.layers.functional import kwinners, kwinners2d
from cl_sparse.layers.k_winners import KWinners, KWinnersBase
from cl_sparse.layers.k_winners2d import KWinners2d
from cl_sparse.layers.sparse_weights import (
    SparseWeights,
    SparseWeights2d,
    SparseWeightsBase,
    normalize_sparse_weights,
    rezero_weights,
)

__all__ = [
    "KWinners",
    "KWinners2d",
    "KWinnersBase",
    "SparseWeights",
    "SparseWeights2d",
    "SparseWeightsBase",
    "kwinners",
    "kwinners2d",
    "normalize_sparse_weights",
    "rezero_weights",
    "update_boost_strength",
]
