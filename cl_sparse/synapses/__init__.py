"""What may happen to connections, usable in any plain PyTorch loop."""

from cl_sparse.synapses.connections import Connections, connections, density, live_synapses, total_parameters
from cl_sparse.synapses.lazy_sgd import LazySGD

__all__ = ["Connections", "LazySGD", "connections", "density", "live_synapses", "total_parameters"]
