"""State dicts of sparse layers: values with indices, or masks over dense weights, and the way between."""

from collections.abc import Mapping

import torch
from torch import Tensor

from cl_sparse.wiring.places import Wiring, wiring_of

BY_UNITS = ("crow_indices", "col_indices")
BY_INPUTS = ("ccol_indices", "row_indices")


def places(state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return the unit and the input of each synapse and its value, from the state of any linear layer, sparse or not.

    None if it is the state of something else.
    """
    if {"module.weight", "zero_mask"} <= state.keys():
        units, inputs = (~state["zero_mask"].bool()).nonzero(as_tuple=True)
        return units, inputs, state["module.weight"][units, inputs]
    if "weight" in state and state["weight"].dim() == 2:
        units, inputs = torch.ones_like(state["weight"], dtype=torch.bool).nonzero(as_tuple=True)
        return units, inputs, state["weight"].flatten()
    for names in (BY_UNITS, BY_INPUTS):
        if {"values", *names} <= state.keys():
            wiring = Wiring(state[names[0]], state[names[1]])
            ends = wiring.majors(), wiring.minors.long()
            units, inputs = ends if names == BY_UNITS else ends[::-1]
            return units, inputs, state["values"]
    return None


def sparse_state(state: Mapping[str, Tensor], inputs: str, in_features: int, out_features: int) -> dict[str, Tensor]:
    """Convert the state of a ``SparseWeights``, an ``nn.Linear`` or a ``SparseLinear`` to that of a ``SparseLinear``.

    Args:
        state: {module.weight, module.bias, zero_mask}; {weight, bias}; or {values, bias} and indices in either order.
        inputs: "any" for indices by units, "winners" for indices by inputs.
        in_features: number of inputs.
        out_features: number of units.

    Raises:
        ValueError: it is neither, or does not have these numbers of units and inputs.
    """
    found = places(state)
    if found is None:
        raise ValueError(f"neither module.weight with zero_mask nor values with indices, but {', '.join(state)}")
    weight = state.get("module.weight", state.get("weight"))
    if weight is not None and weight.shape != (out_features, in_features):
        raise ValueError(f"the weight must be ({out_features}, {in_features}), not {tuple(weight.shape)}")
    units, sources, values = found
    names = BY_UNITS if inputs == "any" else BY_INPUTS
    ends = (units, sources, (out_features, in_features))
    majors, minors, shape = ends if inputs == "any" else (sources, units, (in_features, out_features))
    wiring, order = wiring_of(majors, minors, shape)
    converted = {"values": values[order], names[0]: wiring.pointers, names[1]: wiring.minors}
    bias = state.get("module.bias", state.get("bias"))
    return converted if bias is None else {**converted, "bias": bias}


def masked_state(state: Mapping[str, Tensor], in_features: int, out_features: int) -> dict[str, Tensor]:
    """Convert the state of a ``SparseLinear`` to {module.weight, module.bias, zero_mask}, as ``SparseWeights`` has it.

    Raises:
        ValueError: it is not the state of a sparse layer.
    """
    found = places(state)
    if found is None:
        raise ValueError(f"neither module.weight with zero_mask nor values with indices, but {', '.join(state)}")
    units, inputs, values = found
    weight = values.new_zeros(out_features, in_features)
    weight[units, inputs] = values
    zero_mask = torch.ones(weight.shape, dtype=torch.bool, device=weight.device)
    zero_mask[units, inputs] = False
    bias = state.get("module.bias", state.get("bias"))
    masked = {"module.weight": weight, "zero_mask": zero_mask}
    return masked if bias is None else {**masked, "module.bias": bias}
