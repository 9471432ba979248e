"""The convolutional network of the experiments."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from cl_sparse.models.base import ImageClassifier
from cl_sparse.models.blocks import Sparsity, conv_block, linear_block
from cl_sparse.models.compute import fit_head
from cl_sparse.models.heads import HeadFactory


class SimpleCNN(ImageClassifier):
    """Convolutions, hidden layers as in the MLP, head. Unless told otherwise two, 5×5, without padding or pooling.

    A convolution is followed by ReLU, sparse also by k-winners among the channels of each location, then by pooling;
    the last one, if asked for, by the mean over each map.

    Args:
        input_shape: (C, H, W) of one sample, H and W at least 9.
        head: from the number of features to the head.
        conv_channels: channels of each convolution.
        kernel_size: side of their kernels, pixels.
        padding: whether maps keep their size in a convolution (of stride 1), by zeros around them; for an odd kernel
            size.
        stride: pixels from one place of the kernels to the next.
        pool: side of the squares, and their distance, of which the largest value is kept behind each; 1: no pooling.
        average_maps: whether the first hidden layer sees the mean of each map in place of its pixels.
        hidden_units: units per hidden layer.
        hidden_layers: number of hidden layers after the convolutions; 0 connects the head to the flattened maps.
        sparsify: k-winners and sparse weights; otherwise dense with ReLU, and the sparsity arguments are not used.
        percent_on_fc: share of units that win in a hidden layer; 1 keeps ReLU.
        percent_on_conv: share of channels that win at each location; 1 keeps ReLU alone.
        k_inference_factor: factor on the number of winners in evaluation mode.
        boost_strength: strength of boosting at the start.
        boost_strength_factor: factor on the boost strength at each epoch.
        duty_cycle_period: number of recent samples that the duty cycle averages over.
        weight_sparsity_fc: share of **non-zero** weights of the hidden layers; 1 for dense.
        sparsify_head: whether the head's layers are as sparse as the hidden ones; otherwise they are dense.
        weight_sparsity_conv: share of **non-zero** weights of the convolutions; 1 for dense.
        dropout: probability of dropping a unit after each block.
        input_dropout: probability of dropping an input.
        batch_norm: normalise each channel, and each hidden unit, over the mini-batch before it is activated.
        widths: units of each hidden layer, in place of ``hidden_units`` in each of ``hidden_layers``.

    Raises:
        ValueError: samples are not images, or are too small for the convolutions; or the kernel size is even, and maps
            are to keep their size.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        head: HeadFactory,
        *,
        conv_channels: Sequence[int] = (64, 128),
        kernel_size: int = 5,
        padding: bool = False,
        stride: int = 1,
        pool: int = 1,
        average_maps: bool = False,
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
        sparsify_head: bool = False,
        weight_sparsity_conv: float = 1.0,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        batch_norm: bool = False,
        widths: Sequence[int] | None = None,
    ) -> None:
        channels, *sides = _image_shape(input_shape)
        around = kernel_size // 2 if padding else 0
        if padding and kernel_size % 2 == 0:
            raise ValueError(f"maps keep their size with an odd kernel size, not {kernel_size}")
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
        for number, maps in enumerate(conv_channels, start=1):
            layers.update(conv_block(number, channels, maps, kernel_size, conv, dropout, batch_norm, around, stride))
            if pool > 1:
                layers[f"pool{number}"] = nn.MaxPool2d(pool)
            channels, sides = maps, [((side + 2 * around - kernel_size) // stride + 1) // pool for side in sides]
            if min(sides) < 1:
                raise ValueError(_too_small(input_shape, number))
        if average_maps:
            layers["average"], sides = nn.AdaptiveAvgPool2d(1), [1, 1]
        layers["flatten"] = nn.Flatten()
        units = channels * sides[0] * sides[1]
        hidden = [hidden_units] * hidden_layers if widths is None else widths
        for number, own in enumerate(hidden, start=len(conv_channels) + 1):
            layers.update(linear_block(number, units, own, fc, dropout, batch_norm))
            units = own
        classifier = head(units)
        density = weight_sparsity_fc if sparsify_head and fc.masks_weights else 1.0
        fit_head("reference", classifier, winners=False, density=density)
        super().__init__(nn.Sequential(layers), classifier)


def _image_shape(input_shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(input_shape) != 3:
        raise ValueError(f"a CNN needs images of shape (channels, height, width), not samples of shape {input_shape}")
    channels, height, width = input_shape
    return channels, height, width


def _too_small(input_shape: tuple[int, ...], number: int) -> str:
    _, height, width = input_shape
    return f"images of {height}x{width} pixels are too small for the CNN: nothing is left of them behind conv{number}"
