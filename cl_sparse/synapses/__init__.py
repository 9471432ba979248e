"""What may happen to synapses, usable in any plain PyTorch loop."""

from cl_sparse.synapses.frozen import Frozen
from cl_sparse.synapses.lazy_sgd import LazySGD
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.observing import observing
from cl_sparse.synapses.step import Step, Touched
from cl_sparse.synapses.synapses import Synapses, density, live_synapses, synapses_of, total_parameters
from cl_sparse.synapses.synaptic_intelligence import SynapticIntelligence
from cl_sparse.synapses.update_scale import UpdateScale, scale_updates

__all__ = [
    "Frozen",
    "LazySGD",
    "Ledger",
    "Mechanism",
    "Needs",
    "Step",
    "Synapses",
    "SynapticIntelligence",
    "Touched",
    "UpdateScale",
    "density",
    "live_synapses",
    "observing",
    "scale_updates",
    "synapses_of",
    "total_parameters",
]
