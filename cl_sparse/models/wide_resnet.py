"""Wide residual networks with pre-activation (Zagoruyko and Komodakis 2016), for images as small as CIFAR's."""

from collections import OrderedDict

from torch import Tensor, nn

from cl_sparse.layers.consumers import Consumers, consumers_of
from cl_sparse.models.base import ImageClassifier
from cl_sparse.models.heads import HeadFactory

_STEM = 16  # channels of the first convolution
_GROUPS = (16, 32, 64)  # channels of the blocks, times the widen factor


class PreActivationBlock(nn.Module):
    """x + B(a) with a = ReLU(norm(x)) and B = conv 3×3 → norm → ReLU → dropout → conv 3×3 (He et al. 2016).

    Where B changes the shape, a 1×1 convolution of a takes x's place, as in the wide networks.

    Args:
        channels_in, channels_out: of x and of the output.
        stride: of the first convolution.
        dropout: probability of dropping a unit between the convolutions.

    Shapes: (B, channels_in, H, W) → (B, channels_out, ⌈H/stride⌉, ⌈W/stride⌉).
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1, self.act1 = nn.BatchNorm2d(channels_in), nn.ReLU()
        reshaping = stride != 1 or channels_in != channels_out
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False) if reshaping else None
        body: OrderedDict[str, nn.Module] = OrderedDict()
        body["conv1"] = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        body["norm2"], body["act2"] = nn.BatchNorm2d(channels_out), nn.ReLU()
        if dropout:
            body["drop2"] = nn.Dropout(dropout)
        body["conv2"] = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.body = nn.Sequential(body)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        active = self.act1(self.norm1(x))
        straight = x if self.shortcut is None else self.shortcut(active)
        out: Tensor = straight + self.body(active)
        return out


class WideResNet(ImageClassifier):
    """Convolution 3×3 → three groups of residual blocks → norm → ReLU → mean of each map → head.

    WRN-d-k has depth d = 6·blocks + 4 and widen factor k. The second and third group halve the maps. All weights are
    dense, and batch normalisation is part of the net. Layers start as torch's do.

    Args:
        input_shape: (C, H, W) of one sample.
        head: from the number of features, 64·widen_factor, to the head.
        blocks: residual blocks in each group.
        widen_factor: k: channels are 16·k, 32·k and 64·k.
        dropout: probability of dropping a unit between a block's convolutions.
        input_dropout: probability of dropping an input.

    Raises:
        ValueError: samples are not images, or a number is out of range.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        head: HeadFactory,
        *,
        blocks: int = 2,
        widen_factor: int = 1,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
    ) -> None:
        if len(input_shape) != 3:
            raise ValueError(f"a residual net needs images (channels, height, width), not samples of {input_shape}")
        if blocks < 1 or widen_factor < 1:
            raise ValueError(f"blocks and widen_factor must be at least 1, not {blocks} and {widen_factor}")
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if input_dropout:
            layers["drop0"] = nn.Dropout(input_dropout)
        layers["conv1"] = nn.Conv2d(input_shape[0], _STEM, 3, padding=1, bias=False)
        channels = _STEM
        for group, base in enumerate(_GROUPS, start=1):
            for number in range(1, blocks + 1):
                stride = 2 if group > 1 and number == 1 else 1
                layers[f"block{group}_{number}"] = PreActivationBlock(channels, base * widen_factor, stride, dropout)
                channels = base * widen_factor
        layers["norm"], layers["act"] = nn.BatchNorm2d(channels), nn.ReLU()
        layers["average"], layers["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        super().__init__(nn.Sequential(layers), head(channels))

    def consumers(self) -> dict[str, Consumers]:
        """Return who consumes the units of each block's first convolution.

        Those of all others are added up along the blocks, so that no layer alone can lose or gain any.
        """
        found: dict[str, Consumers] = {}
        for name, block in self.features.named_children():
            if isinstance(block, PreActivationBlock):
                found |= consumers_of([(f"features.{name}.body", block.body)])
        return found
