"""One wide net of which each task has a few units, and synapses of its own between them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cl_sparse.layers.parts import Counts, PartsOfNet
from cl_sparse.layers.sparse_weights import SparseWeightsBase

_PARTS = "stored"


class GrownNet(PartsOfNet):
    """One wide net, of which each task has some units of every hidden layer, and some synapses between these.

    What one task needs is there as a net: the part that is being trained, or was trained last. The others are stored,
    as the list of their live synapses, and computed at the size of a part. A synapse belongs to the task that grew it,
    and there is one at most at each place of the wide net. Biases, normalisation and heads are each task's own.

    Args:
        net: a part; its hidden layers have sparse weights, as a mask.
        n_tasks: tasks that there will be.
        width: units of the wide net's hidden layers over those of a part, at least 1; None: as many as there are tasks.

    Attributes:
        open_task: the task that is being trained; -1: none.
        budget: live synapses of a part, by the hidden layer's name.

    Raises:
        ValueError: a hidden layer is dense, or the net does not say who reads its units.
    """

    of_units = True

    def __init__(self, net: nn.Module, n_tasks: int, width: float | None = None) -> None:
        super().__init__(net, n_tasks)
        self.open_task, self.width = -1, float(n_tasks) if width is None else width
        self.stored = nn.ModuleDict()
        self.units: dict[str, Tensor] = {}  # of the open task's part
        masked = {
            f"{name}.module": m
            for name, m in net.named_modules(remove_duplicate=False)
            if isinstance(m, SparseWeightsBase)
        }
        for name in self.hidden:
            if name not in masked:
                raise ValueError(f"{name} is dense: sparse weights are needed, in every hidden layer")
        self.budget = {name: int(masked[name].live_mask().sum()) for name in self.hidden}
        grown = {f"{name}.weight" for name in self.hidden} | {
            f"{name.removesuffix('.module')}.zero_mask" for name in self.hidden
        }
        self.own = [name for name in net.state_dict() if name not in grown]
        self._fresh = {name: net.state_dict()[name].clone() for name in self.own}

    # -------------------- the wide net

    def total(self, layer: str) -> int:
        """Return the wide net's number of units in a hidden layer."""
        return round(self.width * len(self._weight(layer)))

    def inputs_total(self, layer: str) -> int:
        """Return how many inputs a unit of a hidden layer could have in the wide net."""
        below = self._below(layer)
        return self._inputs(layer) if below is None else self.total(below) * self._per_unit(layer, below)

    def wide_places(self, layer: str, units: Mapping[str, Tensor]) -> Tensor:
        """Return the places in the wide net of all those of a part's layer, long (units, inputs).

        Args:
            layer: its name.
            units: the part's units in each hidden layer, by their numbers in the wide net.
        """
        below = self._below(layer)
        if below is None:
            inputs = torch.arange(self._inputs(layer))
        else:
            per_unit = self._per_unit(layer, below)
            inputs = (units[below].long().cpu()[:, None] * per_unit + torch.arange(per_unit)).flatten()
        return units[layer].long().cpu()[:, None] * self.inputs_total(layer) + inputs

    def owned(self, layer: str) -> tuple[Tensor, Tensor]:
        """Return the places in the wide net where a synapse lives, in ascending order, and its weight, on the CPU."""
        places, values = [torch.zeros(0, dtype=torch.long)], [self._weight(layer).new_zeros(0).cpu()]
        for part in self._parts():
            stored = part.layer(layer)
            units = {name: part.layer(name)["units"] for name in self.hidden}
            own = stored["own"].cpu()
            places.append(self.wide_places(layer, units).flatten()[stored["places"].long().cpu()][own])
            values.append(stored["values"].cpu()[own])
        order = torch.cat(places).argsort()
        return torch.cat(places)[order], torch.cat(values)[order]

    def uses(self, layer: str) -> Tensor:
        """Return how many tasks each unit of the wide net's layer is in, long (total,)."""
        used = [part.layer(layer)["units"].long().cpu() for part in self._parts()]
        return torch.bincount(torch.cat([*used, torch.zeros(0, dtype=torch.long)]), minlength=self.total(layer))

    # -------------------- parts

    def begin(self, task: int, units: Mapping[str, Tensor]) -> None:
        """Let the net be the part of a task, with these units; what is its own starts as in every task."""
        self.open_task, self.units = task, dict(units)
        state = self.net.state_dict()
        for name in self.own:
            state[name].copy_(self._fresh[name])

    def store(self, own: Mapping[str, Tensor]) -> None:
        """Store the open task's part.

        Args:
            own: by the layer's name, bool (units, inputs): which of its synapses belong to this task.
        """
        state, found = self.net.state_dict(), {}
        for name in self.hidden:
            live = ~state[f"{name.removesuffix('.module')}.zero_mask"].bool().flatten(1)
            places = live.flatten().nonzero().flatten()
            found[f"{name}.units"] = self.units[name].int().to(places.device)
            found[f"{name}.places"] = places.int()
            found[f"{name}.values"] = state[f"{name}.weight"].flatten()[places].clone()
            found[f"{name}.own"] = own[name].flatten()[places.to(own[name].device)].to(places.device)
        found |= {name: state[name].clone() for name in self.own}
        self.stored[str(self.open_task)] = _Stored(found)
        self.open_task = -1

    def part(self, task: int) -> dict[str, Tensor]:
        """Return the part's weights and all else that is its own, copied; nothing if it is open, or not stored."""
        if task == self.open_task or str(task) not in self.stored:
            return {}
        stored = self.stored[str(task)]
        assert isinstance(stored, _Stored)
        tensors = {name: stored.tensor(name).clone() for name in self.own}
        for name in self.hidden:
            found = stored.layer(name)
            weight = torch.zeros_like(self._weight(name)).flatten()
            weight[found["places"].long()] = found["values"]
            tensors[f"{name}.weight"] = weight.view_as(self._weight(name))
        return tensors

    def counts(self) -> Counts:
        """Return what all tasks have grown, and the places of the wide net, with a head for each task."""
        grown = sum(int(part.layer(name)["own"].sum()) for part in self._parts() for name in self.hidden)
        own = [parameter for name, parameter in self.net.named_parameters() if name in self.own]
        heads = len(self.stored) * sum(parameter.numel() for parameter in own if parameter.dim() > 1)
        places = sum(self.total(layer) * self.inputs_total(layer) for layer in self.hidden)
        return Counts(grown + heads, places + heads, grown + len(self.stored) * sum(p.numel() for p in own))

    # -------------------- saving

    def make_room(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Have stored parts of these shapes, by the names that :meth:`state_dict` gives them."""
        tasks: dict[str, dict[str, Sequence[int]]] = {}
        for name, shape in shapes.items():
            first, _, rest = name.partition(".")
            task, _, key = rest.partition(".")
            if first == _PARTS:
                tasks.setdefault(task, {})[key] = shape
        for task, own in tasks.items():
            self.stored[task] = _Stored({_name_of(key): self._room(_name_of(key), shape) for key, shape in own.items()})

    def _room(self, name: str, shape: Sequence[int]) -> Tensor:
        like = self._weight(next(iter(self.hidden)))
        kinds = {"units": torch.int, "places": torch.int, "own": torch.bool, "values": like.dtype}
        dtype = self._fresh[name].dtype if name in self._fresh else kinds[name.rpartition(".")[2]]
        return torch.zeros(tuple(shape), dtype=dtype, device=like.device)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        own = {n.removeprefix(prefix): t.shape for n, t in state_dict.items() if n.startswith(f"{prefix}{_PARTS}.")}
        self.make_room(own)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    # -------------------- shapes

    def _parts(self) -> "list[_Stored]":
        return [part for part in self.stored.values() if isinstance(part, _Stored)]

    def _weight(self, layer: str) -> Tensor:
        weight: Tensor = self.net.get_submodule(layer).get_parameter("weight")
        return weight.detach()

    def _inputs(self, layer: str) -> int:
        return self._weight(layer)[0].numel()

    def _below(self, layer: str) -> str | None:
        names = list(self.hidden)
        number = names.index(layer)
        return names[number - 1] if number else None

    def _per_unit(self, layer: str, below: str) -> int:
        return self._inputs(layer) // len(self._weight(below))


class _Stored(nn.Module):
    """Tensors by name, as buffers."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(_key_of(name), tensor)

    def tensor(self, name: str) -> Tensor:
        """Return the one of that name."""
        return self.get_buffer(_key_of(name))

    def layer(self, name: str) -> dict[str, Tensor]:
        """Return units, places, values and own of a hidden layer."""
        return {kind: self.tensor(f"{name}.{kind}") for kind in ("units", "places", "values", "own")}


def _key_of(name: str) -> str:
    return name.replace(".", "/")


def _name_of(key: str) -> str:
    return key.replace("/", ".")
