"""How often, or how strongly, the unit and the input of each place are active together, while a net is trained."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from cl_sparse.layers.layout import Layout
from cl_sparse.layers.sparse_linear import SparseLinear
from cl_sparse.layers.sparse_product import products_at
from cl_sparse.synapses.live_gradients import layout_at, shape_of
from cl_sparse.synapses.owned_hook import OwnedHook
from cl_sparse.synapses.passes import as_rows, in_dense, in_full, outputs_as_rows

Readers = Mapping[str, Mapping[str, nn.Module]]
"""By the name of a layer, those that read its units, by name."""


class Coactivation:
    """Sums, for every place of linear layers and convolutions, how active unit and input are together.

    C ← C + YᵀX over the samples of a training pass, X[s, i] = 1 where input i of sample s is above 0 and Y[s, u] = 1
    where unit u is, behind its activation: as its reader gets it. Of layers that nobody reads, and of convolutions, it
    is the outputs; of a convolution every place of a map is a sample, and an input a place in its flattened kernels.
    Passes in evaluation mode do not count; of several passes before a step, all do.

    Numenta's dynamic_sparse, where this comes from, adds an outer product for each sample, of test data too; its later
    version may multiply the activities themselves, and take a moving average.

    Of a layer that stores its live synapses only, the sums are of the places that :meth:`look` names, and no other is
    computed.

    Args:
        layers: linear layers and convolutions by name.
        readers: linear layers that read their units.
        every: training passes from one that is counted to the next.
        binary: whether an activity counts as above 0 or not, in place of its value (negative ones too).
        moving_average: α of C ← (1 − α)·C + α·YᵀX, in place of the sum.
        alone: whether to count each unit and input with itself as well.

    Attributes:
        both: C, float (units, inputs), by the layer's name; of a layer that stores its live synapses only (places,).
        looked_at: the places of such a layer, sorted, long (places,); a place is unit·inputs + input.
        units, inputs: the same of each with itself, Σ y² and Σ x², float (units,) and (inputs,); 0 unless asked for.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        readers: Readers,
        every: int = 1,
        binary: bool = True,
        moving_average: float | None = None,
        alone: bool = True,
    ) -> None:
        self.every, self.binary, self.alone, self.passes = every, binary, alone, 0
        self.rates = (1.0, 1.0) if moving_average is None else (1.0 - moving_average, moving_average)
        self.both: dict[str, Tensor] = {}
        self.units: dict[str, Tensor] = {}
        self.inputs: dict[str, Tensor] = {}
        self.looked_at: dict[str, Tensor] = {}
        self._layouts: dict[str, Layout] = {}
        self._seen: dict[str, tuple[Tensor, Tensor]] = {}
        self._buffers: dict[str, Tensor] = {}
        self._hooks: list[RemovableHandle] = []
        self.meet(layers, readers)

    def meet(self, layers: Mapping[str, nn.Module], readers: Readers) -> None:
        """Watch these layers from now on; counts of those that are as large as before go on.

        Args:
            layers, readers: as the class has them.
        """
        self.remove()
        self.layers, self.readers, self._seen = dict(layers), dict(readers), {}
        for name in self.both.keys() - layers.keys():
            for known in (self.both, self.units, self.inputs, self.looked_at, self._layouts):
                known.pop(name, None)
        for name, layer in layers.items():
            units, inputs = shape = shape_of(layer)
            if name not in self.units or (len(self.units[name]), len(self.inputs[name])) != shape:
                like: Tensor = layer.get_parameter("values" if isinstance(layer, SparseLinear) else "weight").detach()
                self.units[name], self.inputs[name] = like.new_zeros(units), like.new_zeros(inputs)
                self.both[name] = like.new_zeros(0 if isinstance(layer, SparseLinear) else shape)
                if isinstance(layer, SparseLinear):
                    self.look(name, torch.zeros(0, dtype=torch.long))
        self._watch()

    def look(self, name: str, places: Tensor) -> None:
        """Count at these places of a layer that stores its live synapses only from now on, beginning with 0.

        Args:
            name: of the layer.
            places: long, sorted, each once.
        """
        self.looked_at[name] = places
        self._layouts[name] = layout_at(places, shape_of(self.layers[name]), self.units[name].device)
        self.both[name] = self.units[name].new_zeros(len(places))

    def remove(self) -> None:
        """Watch no longer."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def reset(self) -> None:
        """Begin with 0."""
        for counts in (self.both, self.units, self.inputs):
            for count in counts.values():
                count.zero_()

    def count(self) -> None:
        """Count what has not been counted of the step's training passes: to be called after each step."""
        self._count_pass()
        self.passes += 1
        self._watch()

    @torch.no_grad()
    def _count_pass(self) -> None:
        seen, self._seen = self._seen, {}
        old, new = self.rates
        for name in seen.keys() & self.layers.keys():
            x, y = seen[name][0], self._units_of(name, seen)
            if name in self._layouts:
                self.both[name].mul_(old).add_(products_at(self._layouts[name], y, x), alpha=new)
            else:
                self.both[name].addmm_(y.T, x, beta=old, alpha=new)
            if not self.alone:
                continue
            self.units[name].mul_(old).add_((y if self.binary else y * y).sum(0), alpha=new)
            self.inputs[name].mul_(old).add_((x if self.binary else x * x).sum(0), alpha=new)

    def state_dict(self) -> dict[str, Any]:
        """Return the counts."""
        counts = {"both": self.both, "units": self.units, "inputs": self.inputs}
        return {kind: dict(own) for kind, own in counts.items()} | {
            "passes": self.passes,
            "looked at": dict(self.looked_at),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them.

        Raises:
            ValueError: they are of other layers.
        """
        for name, places in state.get("looked at", {}).items():
            if name in self.looked_at:
                self.look(name, places.cpu())
        for own, saved in ((self.both, state["both"]), (self.units, state["units"]), (self.inputs, state["inputs"])):
            if any(name not in saved or saved[name].shape != count.shape for name, count in own.items()):
                raise ValueError(f"coactivations are of the layers {sorted(saved)}")
            for name, count in own.items():
                count.copy_(saved[name])
        self.passes = state["passes"]
        self._watch()

    @property
    def nbytes(self) -> int:
        """Bytes of what is counted, and of where."""
        return sum(count.nbytes for kind in (self.both, self.looked_at) for count in kind.values())

    def _units_of(self, name: str, seen: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        """Return the units of a layer as its reader has seen them, (samples, units)."""
        layer = self.layers[name]
        for reader in () if isinstance(layer, nn.Conv2d) else self.readers.get(name, ()):
            if reader in seen:
                return seen[reader][0]
        output = in_full(seen[name][1].detach())
        rows = output if output.dim() == 2 else outputs_as_rows(layer, output).flatten(0, 1)
        return self._activity(f"{name}, units", rows)

    def _activity(self, name: str, values: Tensor) -> Tensor:
        if not self.binary:
            return values
        held = self._buffers.get(name)
        if held is None or held.shape != values.shape:
            held = self._buffers[name] = torch.empty_like(values)
        return torch.gt(values, 0, out=held)  # one pass, no bools, no memory anew

    def _watch(self) -> None:
        """Look at the next pass if it counts, and only then: a hook costs time at every one."""
        if self.passes % self.every:
            self.remove()
        elif not self._hooks:
            watched = dict(self.layers)
            for readers in self.readers.values():
                watched |= readers
            self._hooks = [layer.register_forward_hook(OwnedHook(self._see, name)) for name, layer in watched.items()]

    def _see(self, name: str, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if module.training and torch.is_grad_enabled():
            if name in self._seen:  # another pass of the same step
                self._count_pass()
            x = in_full(in_dense(inputs[0]).detach())
            rows = x if x.dim() == 2 else as_rows(module, x).flatten(0, 1)
            self._seen[name] = self._activity(name, rows), output

    def __getstate__(self) -> dict[str, Any]:
        """A copy has seen nothing of a pass that is under way."""
        return self.__dict__ | {"_hooks": [], "_seen": {}, "_buffers": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Watch the copied layers."""
        self.__dict__.update(state)
        self._watch()
