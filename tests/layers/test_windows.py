"""Windows over places: the weights of a Gaussian, whatever the number of places, and the same when mirrored."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cl_sparse.layers.windows import cells, windows


def over_places(rows: int, columns: int, grid: int) -> torch.Tensor:
    """Return the weight of each place in each window, (grid, grid, rows, columns)."""
    cell = cells(rows, columns)
    return windows(rows, columns, grid)[:, cell].view(grid, grid, rows, columns)


@given(rows=st.integers(1, 40), columns=st.integers(1, 40), grid=st.integers(1, 5))
def test_windows_are_means_that_mirror_each_other(rows: int, columns: int, grid: int) -> None:
    weights = over_places(rows, columns, grid)
    assert len(cells(rows, columns)) == rows * columns
    torch.testing.assert_close(weights.sum((2, 3)), torch.ones(grid, grid))
    torch.testing.assert_close(weights.flip(1, 3), weights)
    torch.testing.assert_close(weights.flip(0, 2), weights)


@pytest.mark.parametrize("places", [5, 9, 27, 28])
def test_a_window_is_a_gaussian_around_its_centre(places: int) -> None:
    place = (torch.arange(places) + 0.5) / places
    expected = torch.exp(-0.5 * ((place - torch.tensor([[1 / 6], [0.5], [5 / 6]])) / 0.22) ** 2)
    expected /= expected.sum(1, keepdim=True)
    found = over_places(1, places, 3)[1, :, 0]
    assert float((found - expected).abs().max()) < (1e-6 if places <= 9 else 0.15 * float(expected.max()))
