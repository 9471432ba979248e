"""Thin Avalanche plugins: what keeps layers sparse, what methods add, what watches."""

from cl_sparse.plugins.accuracy import AccuracyRecorder
from cl_sparse.plugins.annealing import AnnealWinners
from cl_sparse.plugins.augment import Augment
from cl_sparse.plugins.averaged_gradient import AveragedGradient
from cl_sparse.plugins.base import Plugin
from cl_sparse.plugins.boosting import DecayBoostStrength
from cl_sparse.plugins.cumulative import Cumulative
from cl_sparse.plugins.dark_replay import DarkReplay
from cl_sparse.plugins.distillation import Distillation
from cl_sparse.plugins.divergence import DivergedError, StopOnDivergence
from cl_sparse.plugins.dumb import Dumb
from cl_sparse.plugins.fast_loading import FastLoading
from cl_sparse.plugins.fit import FitRecorder
from cl_sparse.plugins.joint import Joint
from cl_sparse.plugins.learning_rate import DecayLearningRate, StepLearningRate
from cl_sparse.plugins.mechanisms import Mechanisms
from cl_sparse.plugins.on_top import OnTop
from cl_sparse.plugins.per_epoch import PerEpoch
from cl_sparse.plugins.progress import ReportProgress
from cl_sparse.plugins.replay import Replay
from cl_sparse.plugins.rezero import RezeroWeights
from cl_sparse.plugins.size_per_epoch import SizePerEpoch
from cl_sparse.plugins.sparsity import SparsityProbe

__all__ = [
    "AccuracyRecorder",
    "AnnealWinners",
    "Augment",
    "AveragedGradient",
    "Cumulative",
    "DarkReplay",
    "DecayBoostStrength",
    "DecayLearningRate",
    "Distillation",
    "DivergedError",
    "Dumb",
    "FastLoading",
    "FitRecorder",
    "Joint",
    "Mechanisms",
    "OnTop",
    "PerEpoch",
    "Plugin",
    "Replay",
    "ReportProgress",
    "RezeroWeights",
    "SizePerEpoch",
    "SparsityProbe",
    "StepLearningRate",
    "StopOnDivergence",
]
