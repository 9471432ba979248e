"""What a network is made of: k-winners and sparse weights, under nupic.torch's names; layers that do no idle work."""

from cl_sparse.layers.active_linear import ActiveLinear
from cl_sparse.layers.boosting import update_boost_strength
from cl_sparse.layers.compact import CompactDropout, CompactKWinners
from cl_sparse.layers.filter_placement import fold_filters, insert_filters
from cl_sparse.layers.flexible_layer import FlexibleLayer
from cl_sparse.layers.functional import kwinners, kwinners2d
from cl_sparse.layers.hebb_mask import HebbMask
from cl_sparse.layers.k_winners import KWinners, KWinnersBase
from cl_sparse.layers.k_winners2d import KWinners2d
from cl_sparse.layers.layer_mask import LayerMask, MagnitudeMask, RandomMask
from cl_sparse.layers.pre_activations import PreActivations
from cl_sparse.layers.set_linear import SETLinear
from cl_sparse.layers.set_rbm import SetRBM
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.layers.sparse_weights import (
    SparseWeights,
    SparseWeights2d,
    SparseWeightsBase,
    normalize_sparse_weights,
    rezero_weights,
)
from cl_sparse.layers.sparse_winners import SparseWinnerLinear
from cl_sparse.layers.sparsifier import Sparsifier
from cl_sparse.layers.switch_layer import SwitchLayer
from cl_sparse.layers.unit_filter import UnitFilter
from cl_sparse.layers.winner_linear import WinnerLinear
from cl_sparse.layers.winners import Winners

__all__ = [
    "ActiveLinear",
    "CompactDropout",
    "CompactKWinners",
    "FlexibleLayer",
    "HebbMask",
    "KWinners",
    "KWinners2d",
    "KWinnersBase",
    "LayerMask",
    "MagnitudeMask",
    "PreActivations",
    "RandomMask",
    "SETLinear",
    "SetRBM",
    "SparseLinear",
    "SparseWeights",
    "SparseWeights2d",
    "SparseWeightsBase",
    "SparseWinnerLinear",
    "Sparsifier",
    "SwitchLayer",
    "UnitFilter",
    "WinnerLinear",
    "Winners",
    "fold_filters",
    "insert_filters",
    "kwinners",
    "kwinners2d",
    "normalize_sparse_weights",
    "rezero_weights",
    "update_boost_strength",
]
