"""Finding the modules whose outputs are the activities of a model's units."""

from torch import nn

from cl_sparse.layers import KWinnersBase


def activation_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules whose outputs are unit activities, by name, in forward order.

    These are the k-winners layers and the ReLUs, but for a ReLU whose output goes straight into k-winners. Modules
    count as applied in the order in which they are registered, which holds for ``nn.Sequential`` and for the models
    here.
    """
    leaves = [(name, module) for name, module in model.named_modules() if next(module.children(), None) is None]
    followers = [module for _, module in leaves[1:]]
    return {
        name: module
        for (name, module), follower in zip(leaves, [*followers, None], strict=True)
        if isinstance(module, KWinnersBase) or (isinstance(module, nn.ReLU) and not isinstance(follower, KWinnersBase))
    }
