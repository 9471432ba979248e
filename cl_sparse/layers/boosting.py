"""The per-epoch step of boosting, for a whole model."""

from torch import nn

from cl_sparse.layers.k_winners import KWinnersBase


def update_boost_strength(model: nn.Module) -> None:
    """Multiply the boost strength of every k-winners layer in ``model`` by its factor. To be called once per epoch.

    It takes the whole model; unlike nupic.torch's function of this name it must not be passed to ``model.apply``, which
    would call it once for each enclosing module.
    """
    for module in model.modules():
        if isinstance(module, KWinnersBase):
            module.update_boost_strength()
