"""The blocks that MLP and CNN are made of: a weight layer, its activation, dropout."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from cl_sparse.layers import KWinners, KWinners2d, SparseWeights, SparseWeights2d, normalize_sparse_weights


@dataclass(frozen=True)
class Sparsity:
    """How sparse a block is: its k-winners' settings and its share of non-zero weights.

    With ``sparsify`` False the block is dense with ReLU, whatever the rest says. A share of 1 means no k-winners (but
    ReLU), and no mask.
    """

    sparsify: bool
    percent_on: float
    weight_sparsity: float
    k_inference_factor: float
    boost_strength: float
    boost_strength_factor: float
    duty_cycle_period: int

    @property
    def uses_kwinners(self) -> bool:
        """Whether the activation is k-winners instead of ReLU."""
        return self.sparsify and self.percent_on < 1.0

    @property
    def masks_weights(self) -> bool:
        """Whether only some weights live."""
        return self.sparsify and self.weight_sparsity < 1.0


def linear_block(
    number: int, n_in: int, n_out: int, sparsity: Sparsity, dropout: float, batch_norm: bool = False
) -> Iterator[tuple[str, nn.Module]]:
    """Yield the named modules of [Linear → BatchNorm1d, if asked → KWinners (or ReLU) → Dropout].

    ``number`` is that of the activation.
    """
    layer: nn.Module = nn.Linear(n_in, n_out)
    if sparsity.masks_weights:
        layer = SparseWeights(layer, weight_sparsity=sparsity.weight_sparsity)
        normalize_sparse_weights(layer)
    yield f"fc{number}", layer
    if batch_norm:
        yield f"norm{number}", nn.BatchNorm1d(n_out)
    yield f"act{number}", kwinners_layer(n_out, sparsity) if sparsity.uses_kwinners else nn.ReLU()
    if dropout:
        yield f"drop{number}", nn.Dropout(dropout)


def conv_block(
    number: int,
    channels_in: int,
    channels_out: int,
    kernel_size: int,
    sparsity: Sparsity,
    dropout: float,
    batch_norm: bool = False,
    padding: int = 0,
    stride: int = 1,
) -> Iterator[tuple[str, nn.Module]]:
    """Yield the named modules of [Conv2d → BatchNorm2d, if asked → ReLU → local KWinners2d, if sparse → Dropout]."""
    layer: nn.Module = nn.Conv2d(channels_in, channels_out, kernel_size, stride, padding)
    if sparsity.masks_weights:
        layer = SparseWeights2d(layer, weight_sparsity=sparsity.weight_sparsity)
        normalize_sparse_weights(layer)
    yield f"conv{number}", layer
    if batch_norm:
        yield f"norm{number}", nn.BatchNorm2d(channels_out)
    if sparsity.uses_kwinners:
        yield f"relu{number}", nn.ReLU()
        yield f"act{number}", _kwinners2d(channels_out, sparsity)
    else:
        yield f"act{number}", nn.ReLU()
    if dropout:
        yield f"drop{number}", nn.Dropout(dropout)


def kwinners_layer(n: int, sparsity: Sparsity) -> KWinners:
    """Return the k-winners of n units in a row."""
    return KWinners(
        n,
        percent_on=sparsity.percent_on,
        k_inference_factor=sparsity.k_inference_factor,
        boost_strength=sparsity.boost_strength,
        boost_strength_factor=sparsity.boost_strength_factor,
        duty_cycle_period=sparsity.duty_cycle_period,
    )


def _kwinners2d(channels: int, sparsity: Sparsity) -> KWinners2d:
    return KWinners2d(
        channels,
        percent_on=sparsity.percent_on,
        k_inference_factor=sparsity.k_inference_factor,
        boost_strength=sparsity.boost_strength,
        boost_strength_factor=sparsity.boost_strength_factor,
        duty_cycle_period=sparsity.duty_cycle_period,
        local=True,
    )
