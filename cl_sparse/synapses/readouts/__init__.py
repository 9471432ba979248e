"""Readouts: output weights over fixed features, solved from sums over the stream instead of trained."""

from cl_sparse.synapses.readouts.discriminant import Discriminant
from cl_sparse.synapses.readouts.hebbian import Hebbian
from cl_sparse.synapses.readouts.moments import Moments
from cl_sparse.synapses.readouts.nearest_mean import NearestMean
from cl_sparse.synapses.readouts.readout import Readout
from cl_sparse.synapses.readouts.recursive import RecursiveRidge
from cl_sparse.synapses.readouts.ridge import Ridge

__all__ = ["Discriminant", "Hebbian", "Moments", "NearestMean", "Readout", "RecursiveRidge", "Ridge"]
