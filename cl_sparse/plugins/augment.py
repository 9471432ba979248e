"""Images that are not quite the same each time."""

from typing import Any

import torch
from torch import Tensor

from cl_sparse.plugins.base import Plugin


class Augment(Plugin):
    """Mirror and shift the images of each training mini-batch at random; those of a test stay as they are.

    Drawn from torch's global random numbers. Importances, projections and other passes over a task's data see the
    images as they are.

    Args:
        flip: whether half of the images are mirrored, left for right.
        shift: most pixels that an image moves by in each direction, an integer drawn evenly; zeros come in.

    Raises:
        ValueError: ``shift`` is below 0.
    """

    looks_at_weights = False

    def __init__(self, flip: bool = True, shift: int = 0) -> None:
        super().__init__()
        if shift < 0:
            raise ValueError(f"shift must be at least 0, not {shift}")
        self.flip, self.shift = flip, shift

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        """Change the mini-batch.

        Raises:
            ValueError: its samples are not images (channels, height, width).
        """
        x = strategy.mbatch[0]
        if x.dim() != 4:
            raise ValueError(f"images are mirrored and shifted, not samples of shape {tuple(x.shape[1:])}")
        strategy.mbatch[0] = shifted(mirrored(x) if self.flip else x, self.shift)


def mirrored(x: Tensor) -> Tensor:
    """Return images (B, C, H, W), each mirrored left for right with a chance of one half."""
    chosen = torch.rand(len(x)) < 0.5
    return torch.where(chosen.to(x.device)[:, None, None, None], x.flip(3), x)


def shifted(x: Tensor, most: int) -> Tensor:
    """Return images (B, C, H, W), each moved by −most to most pixels down and right; zeros come in."""
    if not most:
        return x
    moves = torch.randint(-most, most + 1, (2, len(x), 1)).to(x.device)
    rows, columns = (torch.arange(side, device=x.device) - move for side, move in zip(x.shape[2:], moves, strict=True))
    inside = ((rows >= 0) & (rows < x.shape[2]))[:, :, None] & ((columns >= 0) & (columns < x.shape[3]))[:, None, :]
    of_image = torch.arange(len(x), device=x.device)[:, None, None]
    moved = x[of_image, :, rows.clamp(0, x.shape[2] - 1)[:, :, None], columns.clamp(0, x.shape[3] - 1)[:, None, :]]
    found: Tensor = moved.permute(0, 3, 1, 2) * inside[:, None]
    return found
