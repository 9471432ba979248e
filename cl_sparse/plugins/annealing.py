"""Winners that become fewer while the first task is learned, as in sparse distributed memory."""

from typing import Any

from cl_sparse.layers import KWinnersBase
from cl_sparse.plugins.base import Plugin


class AnnealWinners(Plugin):
    """Let the number of winners fall linearly from many to the layer's own in the first half of the first task.

    All units learn something before only few win, so that none is dead from the start (Bricken et al. 2023, "Sparse
    distributed memory is a continual learner").

    Args:
        start: share of units that win at first, 0 to 1.

    Raises:
        ValueError: it is out of range.
    """

    looks_at_weights = True  # the paths that compute what wins are built for the layer's own number

    def __init__(self, start: float = 1.0) -> None:
        super().__init__()
        if not 0 < start <= 1:
            raise ValueError(f"start must be above 0 and at most 1, not {start}")
        self.start = start
        self._own: dict[KWinnersBase, tuple[int, int]] = {}

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Set the number of winners of the step that begins."""
        if strategy.clock.train_exp_counter:
            return
        half = strategy.train_epochs * len(strategy.dataloader) / 2
        along = min(1.0, strategy.clock.train_exp_iterations / half)
        for layer in strategy.model.modules():
            if not isinstance(layer, KWinnersBase):
                continue
            k, k_inference = self._own.setdefault(layer, (layer.k, layer.k_inference))
            many = max(k, round(self.start * layer.n))
            now = round(many + (k - many) * along)
            layer.k, layer.k_inference = now, max(now, k_inference)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Set it to the layer's own, with which the net is tested."""
        for layer, (k, k_inference) in self._own.items():
            layer.k, layer.k_inference = k, k_inference
