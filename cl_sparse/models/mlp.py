"""The multi-layer perceptron of the experiments."""

import math
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from cl_sparse.models.base import FeatureClassifier
from cl_sparse.models.blocks import Sparsity
from cl_sparse.models.compute import Compute, Way, Weights, choose, fit_head, hidden_block
from cl_sparse.models.heads import HeadFactory


class SimpleMLP(FeatureClassifier):
    """[Linear → BatchNorm1d, if asked → KWinners (or ReLU) → Dropout] × hidden_layers → head.

    Args:
        input_shape: shape of one sample; it is flattened.
        head: from the number of features to the head.
        hidden_units: units per hidden layer.
        hidden_layers: number of hidden layers, 0 for a linear classifier.
        sparsify: k-winners and sparse weights; otherwise dense with ReLU, and the sparsity arguments are not used.
        percent_on_fc: share of units that win; 1 keeps ReLU.
        k_inference_factor: factor on the number of winners in evaluation mode.
        boost_strength: strength of boosting at the start.
        boost_strength_factor: factor on the boost strength at each epoch.
        duty_cycle_period: number of recent samples that the duty cycle averages over.
        weight_sparsity_fc: share of **non-zero** weights of the hidden layers, drawn at random for each unit, and
            initialised by the number of live inputs; 1 for dense.
        sparsify_head: whether the head's layers are as sparse as the hidden ones; otherwise they are dense.
        dropout: probability of dropping a unit after each hidden layer.
        input_dropout: probability of dropping an input.
        batch_norm: normalise each hidden unit over the mini-batch before it is activated (Ioffe and Szegedy 2015).
        widths: units of each hidden layer, in place of ``hidden_units`` in each of ``hidden_layers``.
        compute: "reference" for k-winners as masks over dense layers, "winners" for layers that compute only what wins,
            "auto" for the faster of the two; printing the model shows which it is. The results are the same up to
            rounding, up to the first near-tie for the last place among the winners, which rounding may decide either
            way: from there on, two runs differ as two seeds do. With dropout the random numbers differ from the start.
        weights: "masked" for sparse weights as a mask over dense ones, "sparse" for layers that hold the live ones only
            and, with k-winners, compute only what wins; ``compute`` then does not matter.
        device: where the net will live, None for the CPU; elsewhere "auto" is "reference". It is not moved there.

    Attributes:
        way: how it computes, "reference", "winners" or "sparse".

    Raises:
        ValueError: ``compute`` is "winners" and the net has no k-winners, or masked weights; or ``weights`` is "sparse"
            and the net is dense.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        head: HeadFactory,
        *,
        hidden_units: int = 4000,
        hidden_layers: int = 1,
        sparsify: bool = False,
        percent_on_fc: float = 1.0,
        k_inference_factor: float = 1.5,
        boost_strength: float = 1.0,
        boost_strength_factor: float = 0.9,
        duty_cycle_period: int = 1000,
        weight_sparsity_fc: float = 1.0,
        sparsify_head: bool = False,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        batch_norm: bool = False,
        widths: Sequence[int] | None = None,
        compute: Compute = "auto",
        weights: Weights = "masked",
        device: torch.device | None = None,
    ) -> None:
        sparsity = Sparsity(
            sparsify=sparsify,
            percent_on=percent_on_fc,
            weight_sparsity=weight_sparsity_fc,
            k_inference_factor=k_inference_factor,
            boost_strength=boost_strength,
            boost_strength_factor=boost_strength_factor,
            duty_cycle_period=duty_cycle_period,
        )
        units = [hidden_units] * hidden_layers if widths is None else list(widths)
        way = choose(sparsity, min(units, default=hidden_units), len(units), compute, weights, device, batch_norm)
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        if input_dropout:
            layers["drop0"] = nn.Dropout(input_dropout)
        width = math.prod(input_shape)
        for number, own in enumerate(units, start=1):
            layers.update(hidden_block(way, number, width, own, sparsity, dropout, batch_norm))
            width = own
        features, classifier = nn.Sequential(layers), head(width)
        density = weight_sparsity_fc if sparsify_head and sparsity.masks_weights else 1.0
        fit_head(way, classifier, winners=sparsity.uses_kwinners and len(units) > 0, density=density)
        super().__init__(features, classifier)
        self.way: Way = way

    def extra_repr(self) -> str:
        """Return how the net computes, for ``repr``."""
        return f"computes={self.way}"
