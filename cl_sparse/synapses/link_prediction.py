"""Where a layer's own topology says that a synapse is missing."""

import torch
from torch import Tensor

_CHUNK = 1 << 22  # numbers looked at together


def ch3_l3(live: Tensor) -> Tensor:
    r"""Return for every place how well paths of three synapses connect its unit and its input: CH3-L3.

    The score of unit u and input v is the sum, over all paths u – i – k – v from the unit to another input i, to
    another unit k, to the input, of

        1 / √((1 + e_i)·(1 + e_k))

    e_i and e_k being the external degrees: the synapses of i and k to nodes that are neither u nor v nor on any such
    path: the automaton CH3 on paths of length 3 of Muscoloni et al. 2020, "Adaptive network automata modelling of
    complex networks" (preprints 202012.0808), by which Zhang et al. 2024 grow connections ("Epitopological learning and
    Cannistraci-Hebb network shape intelligence brain-inspired theory for ultra-sparse advantage in deep learning",
    ICLR; their code breaks ties by no further rank, nor does this).

    A unit next to i is on a path exactly if it is next to v, so that 1 + e_i = d_i − |N(i) ∩ N(v)|, whatever u is, d
    being degrees and N neighbours; and alike for k. What is left is, for each synapse k – v that may end a path, a
    product of the live mask with the inputs of k: units × inputs × synapses multiplications in all.

    Args:
        live: bool (units, inputs), where a synapse is.

    Returns:
        float (units, inputs); 0 where a synapse is, or no path.
    """
    linked = live.double()
    of_inputs, of_units = _inside(linked.T), _inside(linked)  # 1/√(1 + e_i) by (i, v), 1/√(1 + e_k) by (k, u)
    scores = torch.zeros_like(linked)
    for ends in torch.split(live.nonzero(), max(1, _CHUNK // max(live.shape))):
        k, v = ends.unbind(1)
        reached = linked @ (linked[k] * of_inputs[:, v].T).T  # (u, end)
        scores.index_add_(1, v, reached * of_units[k].T)
    return scores.masked_fill(live, 0.0).float()  # sums of the same terms in another order are ties again


def _inside(linked: Tensor) -> Tensor:
    """Return 1/√(neighbours of the one node that the other does not have), (nodes, nodes); 1 where there are none."""
    return (linked.sum(1)[:, None] - linked @ linked.T).clamp(min=1).rsqrt()
