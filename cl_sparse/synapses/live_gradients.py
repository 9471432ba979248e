"""Gradients of layers that store their live synapses only, at places where none lives."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from cl_sparse.layers.layout import Layout
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.layers.sparse_product import products_at
from cl_sparse.synapses.owned_hook import OwnedHook
from cl_sparse.synapses.passes import as_rows, in_dense, in_full, outputs_as_rows
from cl_sparse.wiring.places import wiring_of


class LiveGradients:
    """Keeps what the last step's gradients are made of: a layer's inputs x, and the gradients δ at its outputs.

    The gradient at a place is Σ δ_unit·x_input over the samples of the step's passes, as of a dense layer; what is kept
    is as large as these, whatever the number of places. Passes in evaluation mode do not count.

    Args:
        layers: by name.
    """

    def __init__(self, layers: Mapping[str, SparseLinear]) -> None:
        self._seen: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self._stepped = False
        self._hooks: list[RemovableHandle] = []
        self.layers: dict[str, SparseLinear] = {}
        self.meet(layers)

    def meet(self, layers: Mapping[str, SparseLinear]) -> None:
        """Watch these layers from now on."""
        self.remove()
        self.layers = dict(layers)
        self._hooks = [layer.register_forward_hook(OwnedHook(self._see, name)) for name, layer in self.layers.items()]

    def remove(self) -> None:
        """Watch no longer."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def step(self) -> None:
        """Begin anew with the next pass: to be called after each step."""
        self._stepped = True

    def forget(self) -> None:
        """Forget the last step."""
        self._seen = {}

    @torch.no_grad()
    def at(self, name: str, places: Tensor) -> Tensor:
        """Return the gradient at places of a layer, in their order, on the CPU; 0 where no pass of the step met it.

        Args:
            name: of the layer.
            places: long, each once; a place is unit·inputs + input.
        """
        ordered, order = places.sort()
        gradient = torch.zeros(len(places))
        layer = self.layers[name]
        layout = layout_at(ordered, shape_of(layer), layer.values.device)
        for x, delta in self._seen.get(name, ()):
            gradient += products_at(layout, delta, x).cpu()
        return torch.empty_like(gradient).index_copy_(0, order, gradient)

    def state_dict(self) -> dict[str, Any]:
        """Return what is kept."""
        return {name: list(own) for name, own in self._seen.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self._seen, self._stepped = {name: list(own) for name, own in state.items()}, True

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept."""
        return sum(part.nbytes for own in self._seen.values() for pair in own for part in pair)

    def _see(self, name: str, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if not (module.training and output.requires_grad):
            return
        x = in_full(in_dense(inputs[0]).detach())
        rows = as_rows(module, x).flatten(0, 1).clone()  # whoever made it may use its memory again

        def note(delta: Tensor) -> None:
            if self._stepped:
                self._seen, self._stepped = {}, False
            of_outputs = in_full(outputs_as_rows(module, delta.detach()).flatten(0, 1)).to(rows.dtype)
            self._seen.setdefault(name, []).append((rows, of_outputs))

        output.register_hook(note)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def __getstate__(self) -> dict[str, Any]:
        """A copy puts hooks of its own on its layers."""
        return self.__dict__ | {"_hooks": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Watch the copied layers."""
        self.__dict__.update(state)
        self.meet(self.layers)


def shape_of(layer: nn.Module) -> tuple[int, int]:
    """Return the numbers of units and inputs of a layer; of a convolution an input is a place in its kernels."""
    if isinstance(layer, SparseLinear):
        return layer.out_features, layer.in_features
    units, inputs = layer.get_parameter("weight").flatten(1).shape
    return units, inputs


def layout_at(places: Tensor, shape: tuple[int, int], device: torch.device) -> Layout:
    """Return how to multiply at places of a layer, long, sorted; a place is unit·inputs + input."""
    wiring, _ = wiring_of(places.to(device) // shape[1], places.to(device) % shape[1], shape)
    return Layout(wiring, by_units=True, shape=shape)
