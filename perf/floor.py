"""The physical limit of a net with few live synapses on this machine."""

from perf.machine import bandwidth, peak_multiply_adds
from perf.sparse_nets import BATCH, CLASSES, Shape


def floor_seconds(shape: Shape, training: bool, factor: float = 1.0) -> float:
    """Return the least time for a pass: each live synapse between active ends once, and the optimizer's bytes.

    Multiply-adds: the first layer's dense inputs reach all its synapses, a later layer's only those of the winners;
    backward, only synapses between winners count. Bytes: the values, and in training gradients and momenta as well,
    read and written once: what the caches hold is not counted on.

    Args:
        shape: the net.
        training: a training step, or inference.
        factor: times as many units win at inference.
    """
    first, second, head = shape.first * shape.width, shape.second * shape.width, shape.width * CLASSES
    later = second + head
    adds = BATCH * (first + later * shape.share * factor)
    floats = first + later
    if training:
        adds += BATCH * (first * shape.share + 2 * (second * shape.share**2 + head * shape.share))
        floats *= 8
    return adds / peak_multiply_adds() + 4 * floats / bandwidth()
