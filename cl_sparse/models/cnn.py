"""The convolutional network of the experiments."""

from collections import OrderedDict
from dataclasses import replace

from torch import nn

from cl_sparse.models.base import FeatureClassifier
from cl_sparse.models.blocks import Sparsity, conv_block, linear_block
from cl_sparse.models.heads import HeadFactory

_CHANNELS = (64, 128)
_KERNEL_SIZE = 5


class SimpleCNN(FeatureClassifier):
    """Two convolutions 5×5 (64 and 128 channels, no padding, no pooling), hidden layers as in the MLP, head.

    Sparse, a convolution is followed by ReLU and by k-winners among the channels of each location.

    Args:
        input_shape: (C, H, W) of one sample, H and W at least 9.
        head: from the number of features to the head.
        hidden_units: units per hidden layer.
        hidden_layers: number of hidden layers after the convolutions; 0 connects the head to the flattened maps.
        sparsify: k-winners and sparse weights; otherwise dense with ReLU, and the sparsity arguments are not used.
        percent_on_fc: share of units that win in a hidden layer; 1 keeps ReLU.
        percent_on_conv: share of channels that win at each location; 1 keeps ReLU alone.
        k_inference_factor: factor on the number of winners in evaluation mode.
        boost_strength: strength of boosting at the start.
        boost_strength_factor: factor on the boost strength at each epoch.
        duty_cycle_period: number of recent samples that the duty cycle averages over.
        weight_sparsity_fc: share of **non-zero** weights of the hidden layers; 1 for dense. The head is dense.
        weight_sparsity_conv: share of **non-zero** weights of the convolutions; 1 for dense.
        dropout: probability of dropping a unit after each block.
        input_dropout: probability of dropping an input.
        batch_norm: normalise each channel, and each hidden unit, over the mini-batch before it is activated.

    Raises:
        ValueError: samples are not images, or are too small for two convolutions.
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
        percent_on_conv: float = 1.0,
        k_inference_factor: float = 1.5,
        boost_strength: float = 1.0,
        boost_strength_factor: float = 0.9,
        duty_cycle_period: int = 1000,
        weight_sparsity_fc: float = 1.0,
        weight_sparsity_conv: float = 1.0,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        channels, height, width = _image_shape(input_shape)
        fc = Sparsity(
            sparsify=sparsify,
            percent_on=percent_on_fc,
            weight_sparsity=weight_sparsity_fc,
            k_inference_factor=k_inference_factor,
            boost_strength=boost_strength,
            boost_strength_factor=boost_strength_factor,
            duty_cycle_period=duty_cycle_period,
        )
        conv = replace(fc, percent_on=percent_on_conv, weight_sparsity=weight_sparsity_conv)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if input_dropout:
            layers["drop0"] = nn.Dropout(input_dropout)
        for number, maps in enumerate(_CHANNELS, start=1):
            layers.update(conv_block(number, channels, maps, _KERNEL_SIZE, conv, dropout, batch_norm))
            channels, height, width = maps, height - _KERNEL_SIZE + 1, width - _KERNEL_SIZE + 1
        layers["flatten"] = nn.Flatten()
        units = channels * height * width
        for number in range(len(_CHANNELS) + 1, len(_CHANNELS) + 1 + hidden_layers):
            layers.update(linear_block(number, units, hidden_units, fc, dropout, batch_norm))
            units = hidden_units
        super().__init__(nn.Sequential(layers), head(units))


def _image_shape(input_shape: tuple[int, ...]) -> tuple[int, int, int]:
    smallest = len(_CHANNELS) * (_KERNEL_SIZE - 1) + 1
    if len(input_shape) != 3:
        raise ValueError(f"a CNN needs images of shape (channels, height, width), not samples of shape {input_shape}")
    channels, height, width = input_shape
    if min(height, width) < smallest:
        raise ValueError(f"the CNN needs images of at least {smallest}x{smallest} pixels, not {height}x{width}")
    return channels, height, width
