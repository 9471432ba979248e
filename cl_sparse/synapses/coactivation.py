"""How often the unit and the input of each place are active together, while a net is trained."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Coactivation:
    """Counts, for every place of linear layers, the samples in which unit and input are both above 0.

    C ← C + YᵀX over the samples of a training pass, X[s, i] = 1 where input i of sample s is above 0 and Y[s, u] = 1
    where unit u is, behind its activation: as its reader gets it. Of layers that nobody reads it is the outputs. Passes
    in evaluation mode do not count.

    Args:
        layers: linear layers by name.
        readers: by the name of a layer, those that read its units.
        every: training passes from one that is counted to the next.

    Attributes:
        both: C, float (units, inputs), by the layer's name.
        units, inputs: samples in which each was active, float (units,) and (inputs,).
    """

    def __init__(self, layers: Mapping[str, nn.Module], readers: Mapping[str, Sequence[str]], every: int = 1) -> None:
        self.readers, self.every, self.passes = dict(readers), every, 0
        self.both: dict[str, Tensor] = {}
        self.units: dict[str, Tensor] = {}
        self.inputs: dict[str, Tensor] = {}
        self._seen: dict[str, tuple[Tensor, Tensor]] = {}
        self._names = list(layers)
        for name, layer in layers.items():
            outputs, inputs = layer.get_parameter("weight").shape
            self.both[name] = layer.get_parameter("weight").new_zeros(outputs, inputs)
            self.units[name] = layer.get_parameter("weight").new_zeros(outputs)
            self.inputs[name] = layer.get_parameter("weight").new_zeros(inputs)
        self._hooks = [layer.register_forward_hook(self._watch(name)) for name, layer in layers.items()]

    def remove(self) -> None:
        """Watch no longer."""
        for hook in self._hooks:
            hook.remove()

    def reset(self) -> None:
        """Count from 0."""
        for counts in (self.both, self.units, self.inputs):
            for count in counts.values():
                count.zero_()

    @torch.no_grad()
    def count(self) -> None:
        """Count the last training pass: to be called after each step."""
        seen, self._seen = self._seen, {}
        self.passes += 1
        for name, (x, output) in seen.items():
            reader = next((reader for reader in self.readers.get(name, ()) if reader in seen), None)
            y = (output > 0).to(x) if reader is None else seen[reader][0]
            self.both[name].addmm_(y.T, x)
            self.units[name] += y.sum(0)
            self.inputs[name] += x.sum(0)

    def state_dict(self) -> dict[str, Any]:
        """Return the counts."""
        return {"both": self.both, "units": self.units, "inputs": self.inputs, "passes": self.passes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them.

        Raises:
            ValueError: they are of other layers.
        """
        for own, saved in ((self.both, state["both"]), (self.units, state["units"]), (self.inputs, state["inputs"])):
            if {name: count.shape for name, count in own.items()} != {n: count.shape for n, count in saved.items()}:
                raise ValueError(f"coactivations are of the layers {sorted(saved)}")
            for name, count in saved.items():
                own[name].copy_(count)
        self.passes = state["passes"]

    def _watch(self, name: str) -> Any:
        def forward(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if module.training and torch.is_grad_enabled() and self.passes % self.every == 0:
                x = inputs[0].detach()
                self._seen[name] = (x > 0).to(x), output.detach()

        return forward
