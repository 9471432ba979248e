"""Permuted pixels: a fixed random order per task."""

from __future__ import annotations

import torch
from torch import Tensor

from cl_sparse.seeding import derive_seed


def draw_permutations(n_tasks: int, n_positions: int, seed: int) -> Tensor:
    """Return (n_tasks, n_positions) int64: position p of task t's samples holds the original position [t, p].

    The first task's is the identity, as is the field's custom; the others are drawn one by one from ``seed``, so that a
    longer stream begins with the tasks of a shorter one.
    """
    permutations = torch.arange(n_positions).repeat(n_tasks, 1)
    for task in range(1, n_tasks):
        generator = torch.Generator().manual_seed(derive_seed(seed, "permutation", task))
        permutations[task] = torch.randperm(n_positions, generator=generator)
    return permutations


class PixelPermutations:
    """Rearranges the pixels of each sample as its task says, all channels alike.

    Args:
        permutations: (n_tasks, H·W) int64, or (n_tasks, D) for flat samples.
    """

    def __init__(self, permutations: Tensor) -> None:
        self.permutations = permutations

    def __call__(self, x: Tensor, tasks: Tensor) -> Tensor:
        """Return x (B, C, H, W) or (B, D) rearranged; tasks (B,) int64."""
        pixels = x.reshape(len(x), -1, self.permutations.shape[1])
        order = self._order(tasks).unsqueeze(1).expand(pixels.shape)
        return pixels.gather(2, order).reshape(x.shape)

    def to(self, device: torch.device | str) -> PixelPermutations:
        """Return the same permutations on a device."""
        return PixelPermutations(self.permutations.to(device))

    def _order(self, tasks: Tensor) -> Tensor:
        # One task per batch is the usual case and saves B copies of its permutation. On a GPU asking would wait.
        if tasks.device.type == "cpu" and len(tasks) and bool((tasks == tasks[0]).all()):
            return self.permutations[tasks[0]].unsqueeze(0)
        return self.permutations.index_select(0, tasks)
