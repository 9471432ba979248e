"""Rotated images: a fixed angle per task."""

from __future__ import annotations

import math

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
    """

    def __init__(self, angles: Tensor) -> None:
        self.angles = angles
        radians = angles * (math.pi / 180)
        cos, sin, zero = torch.cos(radians), torch.sin(radians), torch.zeros_like(radians)
        # A point of the output is looked up in the input where the inverse rotation takes it; y points down.
        self.matrices = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)

    def __call__(self, x: Tensor, tasks: Tensor) -> Tensor:
        """Return x (B, C, H, W) rotated, float32; tasks (B,) int64."""
        grid = functional.affine_grid(self.matrices[tasks], list(x.shape), align_corners=False)
        return functional.grid_sample(x.to(torch.float32), grid, mode="bilinear", align_corners=False)

    def to(self, device: torch.device | str) -> Rotations:
        """Return the same rotations on a device."""
        return Rotations(self.angles.to(device))
