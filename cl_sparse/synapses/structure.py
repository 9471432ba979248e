"""The shapes of a net that grew or shrank, and giving them to a fresh one."""

from typing import Any

import torch
from torch import nn

from cl_sparse.layers import KWinnersBase
from cl_sparse.wiring.moved import like_layout, replace_data

SIZES = ("in_features", "out_features", "in_channels", "out_channels", "num_features")


def structure_of(model: nn.Module) -> dict[str, Any]:
    """Return the shape of every tensor and the sizes that modules know of themselves, in plain Python."""
    modules = dict(model.named_modules())
    tensors = {
        f"{name}.{own}" if name else own: list(tensor.shape)
        for name, module in modules.items()
        for own, tensor in (*module._parameters.items(), *module._buffers.items())
        if tensor is not None
    }
    sizes = {
        name: {size: vars(module)[size] for size in SIZES if size in vars(module)} for name, module in modules.items()
    }
    units = {name: module.width for name, module in modules.items() if isinstance(module, KWinnersBase)}
    return {"tensors": tensors, "sizes": {name: own for name, own in sizes.items() if own}, "units": units}


@torch.no_grad()
def rebuild(model: nn.Module, structure: dict[str, Any]) -> None:
    """Give a net the shapes of another of the same architecture; what is in its tensors then means nothing.

    Parameters stay the same objects. A net that has these shapes already is left alone. Modules that store more as
    tasks come have a method ``make_room({name: shape})``, which makes the tensors that are not there yet.

    Raises:
        ValueError: it is a structure of another architecture.
    """
    for name, module in model.named_modules():
        if hasattr(module, "make_room"):
            prefix = f"{name}." if name else ""
            module.make_room(
                {t.removeprefix(prefix): s for t, s in structure["tensors"].items() if t.startswith(prefix)}
            )
    own = structure_of(model)
    if own == structure:
        return
    if any(own[part].keys() != structure[part].keys() for part in own):
        raise ValueError("the structure is that of another architecture")
    for name, shape in structure["tensors"].items():
        if own["tensors"][name] != shape:
            _reshape(model, name, shape)
    for name, sizes in structure["sizes"].items():
        for size, value in sizes.items():
            setattr(model.get_submodule(name), size, value)
    for name, units in structure["units"].items():
        layer = model.get_submodule(name)
        if isinstance(layer, KWinnersBase):
            layer.resize(units)


def _reshape(model: nn.Module, name: str, shape: list[int]) -> None:
    owner, _, own = name.rpartition(".")
    module = model.get_submodule(owner)
    parameter = module._parameters.get(own)
    if parameter is not None:
        replace_data(parameter, like_layout(parameter.new_zeros(shape), parameter))
    else:
        setattr(module, own, module.get_buffer(own).new_zeros(shape))
