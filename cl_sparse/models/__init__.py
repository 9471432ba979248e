"""Networks built from :mod:`cl_sparse.layers`, their heads, and the way to their units' activities."""

from cl_sparse.models.activations import activation_layers
from cl_sparse.models.base import FeatureClassifier
from cl_sparse.models.cnn import SimpleCNN
from cl_sparse.models.fixed import FixedNet
from cl_sparse.models.heads import Head, HeadFactory, MaskedHead, MultiHead, SingleHead
from cl_sparse.models.independent import IndependentNets
from cl_sparse.models.mlp import SimpleMLP
from cl_sparse.models.set_net import EvolNet, SparseNet
from cl_sparse.models.wide_resnet import WideResNet

__all__ = [
    "EvolNet",
    "FeatureClassifier",
    "FixedNet",
    "Head",
    "HeadFactory",
    "IndependentNets",
    "MaskedHead",
    "MultiHead",
    "SimpleCNN",
    "SimpleMLP",
    "SingleHead",
    "SparseNet",
    "WideResNet",
    "activation_layers",
]
