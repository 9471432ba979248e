"""Recorded numbers of each pixel as heat maps: a picture per value of a setting, a row per number."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cl_sparse.errors import UserError
from cl_sparse.metrics import is_square
from cl_sparse.report.figures import new_figure, save_figure
from cl_sparse.report.rows import Result
from cl_sparse.report.study import Part, by_setting, chosen_of, of_seeds, shown

Image = NDArray[np.float64]


def images_of(results: Iterable[Result], part: Part) -> dict[str, dict[Any, Image]]:
    """Return the pictures of a part, by number and by the setting's value; values without results are left out.

    Args:
        results: ``(config, stats)`` of any number of runs.
        part: with ``images``; its numbers are lists, one number for each pixel of a square image.

    Returns:
        Means over the seeds in relation to the mean over the pixels, (side, side): at 1 a pixel has as much as any.

    Raises:
        UserError: as :func:`cl_sparse.report.study.study_table`; or the numbers are no square image.
    """
    of_values = by_setting(chosen_of(results, part), part.images)
    found: dict[str, dict[Any, Image]] = {}
    for label, path in part.numbers.items():
        runs = {value: list(of_seeds(chosen, path)[0].values()) for value, chosen in of_values.items()}
        found[label] = {value: _image(counts, path) for value, counts in runs.items() if counts}
    return found


def images_png(results: Iterable[Result], part: Part, path: Path) -> None:
    """Draw the pictures of a part, all in the same colours, so that figures can be compared.

    Args:
        results: ``(config, stats)`` of any number of runs.
        part: as for :func:`images_of`.
        path: the PNG to write.

    Raises:
        UserError: as :func:`images_of`; or the file cannot be written.
    """
    found = images_of(results, part)
    wide = max(1, *(len(images) for images in found.values()))
    figure, first = new_figure(1.9 * wide + 0.9, 2.2 * len(found))
    first.remove()
    axes = figure.subplots(len(found), wide, squeeze=False)
    drawn = None
    for i, (label, images) in enumerate(found.items()):
        for place in axes[i]:
            place.set_axis_off()
        for place, (value, image) in zip(axes[i], images.items(), strict=False):
            drawn = place.imshow(image, cmap="PuOr_r", vmin=0, vmax=2)
            title = shown(value) if len(found) == 1 else f"{label}: {shown(value)}"
            place.set_title(title, fontsize=9, parse_math=False)
    if drawn is not None:
        bar = figure.colorbar(drawn, ax=axes, fraction=0.05, pad=0.02, extend="max", label="mean pixel: 1")
        bar.outline.set_visible(False)
    save_figure(figure, path)


def _image(of_seeds: list[Any], path: str) -> Image:
    counts = np.asarray(of_seeds, dtype=np.float64)
    if counts.ndim != 2 or not is_square(counts.shape[1]):
        raise UserError(f"{path}: one number for each pixel of a square image is needed, not {counts.shape[1:]}")
    mean = counts.mean(axis=0)
    side = int(np.sqrt(mean.size))
    image: Image = (mean / mean.mean()).reshape(side, side)
    return image
