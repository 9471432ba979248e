"""What may happen to connections, usable in any plain PyTorch loop."""

from cl_sparse.synapses.connections import Connections, connections, density, live_synapses, total_parameters

__all__ = ["Connections", "connections", "density", "live_synapses", "total_parameters"]
