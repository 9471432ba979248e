"""Synapses that change slowly, or not at all: the applied change times a factor per synapse, under any optimizer."""

from collections.abc import Mapping

import torch
from torch import Tensor

from cl_sparse.synapses.ledger import Ledger

_KEY = "update scale"


class UpdateScale:
    """A factor per synapse on every change that an optimizer step makes; from :func:`scale_updates`.

    Attributes:
        scale: by the parameter's name; follows the synapses, and a new one has 1. To be changed by :meth:`set` only.
    """

    def __init__(self, ledger: Ledger, owner: str) -> None:
        self._ledger, self._owner = ledger, owner
        self.scale = ledger.keep(owner, _KEY, fresh=1.0)
        if any(scale is self.scale for scale in ledger.steps.scales):
            raise ValueError(f"{owner} scales updates already: change its handle, or give another owner's name")
        ledger.steps.scales.append(self.scale)

    @torch.no_grad()
    def set(self, scale: Mapping[str, Tensor | float]) -> None:
        """Set the factors of some parameters, each in the parameter's shape, or one for all of a parameter.

        Raises:
            KeyError: there is no parameter of that name.
            ValueError: a factor is below 0 or in another shape, or LazySGD with weight decay is to scale by factors
                other than 0 and 1. All factors are as before then.
        """
        new = {name: self._factors(name, torch.as_tensor(factor)) for name, factor in scale.items()}
        before = {name: self.scale[name] for name in new}
        self.scale.update(new)
        try:
            self._ledger.steps.refresh()
        except ValueError:
            self.scale.update(before)
            self._ledger.steps.refresh()
            raise

    def _factors(self, name: str, given: Tensor) -> Tensor:
        factors = torch.empty_like(self.scale[name])
        if given.dim() and given.shape != factors.shape:
            raise ValueError(f"{name}: factors must be one number or {tuple(factors.shape)}, not {tuple(given.shape)}")
        if not bool((given >= 0).all()):
            raise ValueError(f"{name}: a factor on updates must be at least 0")
        return factors.copy_(given)

    def remove(self) -> None:
        """Let all updates through again, and forget the factors."""
        self._ledger.steps.scales = [scale for scale in self._ledger.steps.scales if scale is not self.scale]
        self._ledger.forget(self._owner, _KEY)
        self._ledger.steps.refresh()


def scale_updates(ledger: Ledger, scale: Mapping[str, Tensor | float], owner: str = "scale_updates") -> UpdateScale:
    """Multiply every change that an optimizer step makes by a factor per synapse: w ← w + s·(step(w) − w).

    The *applied change* is scaled, not the gradient, so momentum, weight decay and Adam's moments cannot leak through:
    a synapse with s = 0 stays the same, bit for bit; one with s = 1 moves as if there were no scale. Scales of several
    callers multiply. The optimizer's own numbers (momenta) go on as without a scale.

    Under ``LazySGD`` rows that were put off take their scaled steps in closed form, which is exact without weight decay
    and, with it, for factors 0 and 1.

    Args:
        ledger: owns the synapses.
        scale: by the parameter's name; a tensor in its shape, or one number. The others have 1.
        owner: under which the ledger keeps the factors; one name per caller.

    Returns:
        A handle to change or remove the scale.
    """
    handle = UpdateScale(ledger, owner)
    try:
        handle.set(scale)
    except (KeyError, ValueError):
        handle.remove()
        raise
    return handle
