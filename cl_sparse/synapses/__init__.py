"""What may happen to synapses, usable in any plain PyTorch loop."""

from cl_sparse.synapses.ablation import ablation_importance
from cl_sparse.synapses.aware_synapses import AwareSynapses
from cl_sparse.synapses.block_growth import BlockGrowth
from cl_sparse.synapses.context_gates import ContextGates
from cl_sparse.synapses.context_means import ContextMeans
from cl_sparse.synapses.distributed_memory import DistributedMemory
from cl_sparse.synapses.distribution import distribute_synapses
from cl_sparse.synapses.dynamic_connectivity import DynamicConnectivity
from cl_sparse.synapses.elastic_weights import ElasticWeights
from cl_sparse.synapses.flexible_width import FlexibleWidth
from cl_sparse.synapses.fresh_steps import FreshSteps
from cl_sparse.synapses.frozen import Frozen
from cl_sparse.synapses.gradient_projection import GradientProjection
from cl_sparse.synapses.grown_parts import GrownParts
from cl_sparse.synapses.grown_units import GrownUnits
from cl_sparse.synapses.hard_attention import HardAttention
from cl_sparse.synapses.hebb_mask import HebbMasks
from cl_sparse.synapses.kronecker_laplace import KroneckerLaplace
from cl_sparse.synapses.lazy_sgd import LazySGD
from cl_sparse.synapses.ledger import Ledger
from cl_sparse.synapses.mechanism import Mechanism, Needs
from cl_sparse.synapses.neuron_gc import NeuronGC
from cl_sparse.synapses.nispa import Nispa
from cl_sparse.synapses.observing import observing
from cl_sparse.synapses.orthogonal_weights import OrthogonalWeights
from cl_sparse.synapses.packed import Packed
from cl_sparse.synapses.projection import Projection
from cl_sparse.synapses.quadratic import Quadratic
from cl_sparse.synapses.set_layers import SetLayers
from cl_sparse.synapses.size_only import SizeOnly
from cl_sparse.synapses.space_net import SpaceNet
from cl_sparse.synapses.sparse_training import SparseTraining
from cl_sparse.synapses.sparsified_units import SparsifiedUnits
from cl_sparse.synapses.step import Step, Touched
from cl_sparse.synapses.subnetworks import Supermasks, WinningSubnetworks
from cl_sparse.synapses.switched_units import SwitchedUnits
from cl_sparse.synapses.synapses import (
    Synapses,
    density,
    live_synapses,
    synapse_positions,
    synapses_of,
    total_parameters,
)
from cl_sparse.synapses.synaptic_intelligence import SynapticIntelligence
from cl_sparse.synapses.update_scale import UpdateScale, scale_updates

__all__ = [
    "AwareSynapses",
    "BlockGrowth",
    "ContextGates",
    "ContextMeans",
    "DistributedMemory",
    "DynamicConnectivity",
    "ElasticWeights",
    "FlexibleWidth",
    "FreshSteps",
    "Frozen",
    "GradientProjection",
    "GrownParts",
    "GrownUnits",
    "HardAttention",
    "HebbMasks",
    "KroneckerLaplace",
    "LazySGD",
    "Ledger",
    "Mechanism",
    "Needs",
    "NeuronGC",
    "Nispa",
    "OrthogonalWeights",
    "Packed",
    "Projection",
    "Quadratic",
    "SetLayers",
    "SizeOnly",
    "SpaceNet",
    "SparseTraining",
    "SparsifiedUnits",
    "Step",
    "Supermasks",
    "SwitchedUnits",
    "Synapses",
    "SynapticIntelligence",
    "Touched",
    "UpdateScale",
    "WinningSubnetworks",
    "ablation_importance",
    "density",
    "distribute_synapses",
    "live_synapses",
    "observing",
    "scale_updates",
    "synapse_positions",
    "synapses_of",
    "total_parameters",
]
