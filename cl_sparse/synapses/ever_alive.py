"""Which share of a layer's places has ever been alive, and of what grew how much survived."""

import math
from typing import Any

import torch
from torch import Tensor

from cl_sparse.synapses.connectivity_sight import places_of
from cl_sparse.synapses.synapses import Synapses


class EverAlive:
    """Remembers where synapses of some layers have ever lived, and where they grew last.

    Of masked layers a bit mask (units, inputs) is kept; of those that store their live synapses only the places.

    Args:
        layers: by the name of their weight.
    """

    def __init__(self, layers: dict[str, Synapses]) -> None:
        self._layers = {name: found.stored for name, found in layers.items()}
        self._ever: dict[str, Tensor] = {}
        self.young: dict[str, Tensor] = {}  # where synapses grew at the last change, long
        for name, found in layers.items():
            live = places_of(found)
            self._ever[name] = live.sort().values if found.stored == "live" else _mask(live, found)

    def changed(self, name: str, found: Synapses, grown: Tensor) -> dict[str, float]:
        """Note a layer after a change, and where it has grown; return what there is to say of it.

        Returns:
            live: its synapses; survived: the share of those that grew at the change before that are still there, NaN
            for none; ever: the share of its places that has ever been alive (Liu et al. 2021).
        """
        live, young = places_of(found), self.young.get(name)
        some = young is not None and len(young) > 0
        survived = float(torch.isin(young, live).float().mean()) if young is not None and some else math.nan
        self.young[name] = grown
        return {"live": len(live), "survived": survived, "ever": self._share(name, found, live)}

    def _share(self, name: str, found: Synapses, live: Tensor) -> float:
        ever = self._ever[name]
        if found.stored == "masked":
            ever.view(-1)[live] = True
            return float(ever.float().mean())
        self._ever[name] = torch.unique(torch.cat([ever, live]))
        return len(self._ever[name]) / max(1, found.positions)

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept."""
        return sum(ever.nbytes for ever in self._ever.values())

    def state_dict(self) -> dict[str, Any]:
        """Return the places."""
        return {"ever": dict(self._ever), "young": dict(self.young)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them; checkpoints of earlier versions hold masks (units, inputs) throughout.

        Raises:
            ValueError: they are of other layers.
        """
        ever = {name: own.cpu() for name, own in state["ever"].items()}
        for name, stored in self._layers.items():
            if stored == "live" and name in ever:
                ever[name] = _places(ever[name])
        masked = {name: own.shape for name, own in self._ever.items() if self._layers[name] == "masked"}
        if ever.keys() != self._ever.keys() or any(ever[name].shape != shape for name, shape in masked.items()):
            raise ValueError(f"what has been alive is of the layers {sorted(ever)}")
        self._ever = ever
        self.young = {name: _places(own.cpu()) for name, own in state.get("young", {}).items()}


def _mask(live: Tensor, found: Synapses) -> Tensor:
    mask = torch.zeros(found.shape[0], found.shape[1:].numel(), dtype=torch.bool)
    mask.view(-1)[live] = True
    return mask


def _places(kept: Tensor) -> Tensor:
    return kept.flatten().nonzero().flatten() if kept.dtype == torch.bool else kept
