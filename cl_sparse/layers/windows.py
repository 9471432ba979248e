"""Overlapping Gaussian windows over the places of an image, in two steps: sums over small cells, then their weights."""

import torch
from torch import Tensor

_CELLS = 9  # on a side, or as many as there are places: windows are smooth enough to weigh a cell as one
_SPREAD = 0.22  # standard deviation of a window, as a share of the places on a side


def cells(rows: int, columns: int) -> Tensor:
    """Return the cell of each place of an image of rows × columns places, (rows·columns,) long."""
    down, across = _along(rows), _along(columns)
    return (down[:, None] * (across[-1] + 1) + across).flatten()


def windows(rows: int, columns: int, grid: int) -> Tensor:
    """Return the windows, (grid², cells): each times the sums over cells is a weighted mean over the places."""
    return torch.kron(_windows_along(rows, grid), _windows_along(columns, grid))


def _along(places: int) -> Tensor:
    """Return the cell of each place on a side, (places,) long: mirrored, they are the same."""
    return (2 * torch.arange(places) + 1) * min(places, _CELLS) // (2 * places)


def _windows_along(places: int, grid: int) -> Tensor:
    place, centre = (torch.arange(places) + 0.5) / places, (torch.arange(grid) + 0.5) / grid
    weight = torch.exp(-((place - centre[:, None]) ** 2) / (2 * _SPREAD**2))
    cell = _along(places)
    sums = torch.zeros(grid, int(cell[-1]) + 1).index_add_(1, cell, weight)
    return sums / cell.bincount() / sums.sum(1, keepdim=True)
