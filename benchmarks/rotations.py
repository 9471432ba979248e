"""Rotated images: a fixed angle per task."""

from __future__ import annotations

import math
from copy import copy

import torch
from torch import Tensor
from torch.nn import functional


def spread_angles(n_tasks: int, max_angle: float) -> list[float]:
    """Return each task's angle in degrees: evenly from 0 to ``max_angle``, both included."""
    return [task * max_angle / max(n_tasks - 1, 1) for task in range(n_tasks)]


class Rotations:
    """Rotates each image by its task's angle, counter-clockwise about its centre.

    Values between pixels are interpolated bilinearly; what comes from outside the image is 0.

    Args:
        angles: (n_tasks,) float32, degrees.
        size: height and width of the images, equal, or the rotation would distort them.
    """

    def __init__(self, angles: Tensor, size: tuple[int, int]) -> None:
        radians = angles * (math.pi / 180)
        cos, sin, zero = torch.cos(radians), torch.sin(radians), torch.zeros_like(radians)
        # A point of the output is looked up in the input where the inverse rotation takes it; y points down.
        matrices = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
        # (n_tasks, H, W, 2): computing it for every batch would take three quarters of the time.
        self.grids = functional.affine_grid(matrices, [len(angles), 1, *size], align_corners=False)

    def __call__(self, x: Tensor, tasks: Tensor) -> Tensor:
        """Return x (B, C, H, W) rotated, float32; tasks (B,) int64."""
        grids = self.grids.index_select(0, tasks)
        return functional.grid_sample(x.to(torch.float32), grids, mode="bilinear", align_corners=False)

    def to(self, device: torch.device | str) -> Rotations:
        """Return the same rotations on a device."""
        moved = copy(self)
        moved.grids = self.grids.to(device)
        return moved
