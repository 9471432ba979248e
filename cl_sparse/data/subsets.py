"""Seeded, class-balanced choices of rows."""

import torch
from torch import Tensor

from cl_sparse.errors import SettingError
from cl_sparse.seeding import derive_seed


def balanced_subset(y: Tensor, size: int, n_classes: int, seed: int, key: str) -> Tensor:
    """Return ``size`` rows with as many of each class as possible, in ascending order.

    Every class gets size // n_classes rows and the first classes one more for the remainder; a class that has fewer
    gives all it has, and the others share the difference.

    Args:
        y: (N,) int64 classes.
        size: how many rows, n_classes .. N.
        n_classes: number of classes.
        seed: the run's seed.
        key: name of the setting, for the seed and the message.

    Raises:
        SettingError: ``size`` is larger than the data set, or too small for one sample per class.
    """
    if not n_classes <= size <= len(y):
        raise SettingError(key, f"{size} is not between {n_classes} (one per class) and {len(y)} (all samples)")
    counts = torch.bincount(y, minlength=n_classes).tolist()
    quota = _quota(counts, size)
    return torch.cat([_draw(y, c, quota[c], seed, key)[0] for c in range(n_classes)]).sort().values


def validation_split(y: Tensor, share: float, n_classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """Split rows into training and validation, the same share of every class.

    Args:
        y: (N,) int64 classes.
        share: of each class's rows, rounded, at least one, 0 < share < 1.
        n_classes: number of classes.
        seed: the run's seed.

    Returns:
        training rows and validation rows, disjoint, together all rows, each ascending.

    Raises:
        SettingError: a class would have no sample left on one side.
    """
    counts = torch.bincount(y, minlength=n_classes).tolist()
    if not 0 < share < 1 or min(counts) < 2:
        raise SettingError("validation", f"{share} must be in [0, 1), and every class needs two training samples")
    taken = [min(max(round(share * n), 1), n - 1) for n in counts]
    parts = [_draw(y, c, taken[c], seed, "validation") for c in range(n_classes)]
    validation = torch.cat([chosen for chosen, _ in parts]).sort().values
    return torch.cat([rest for _, rest in parts]).sort().values, validation


def _quota(counts: list[int], size: int) -> list[int]:
    quota = [0] * len(counts)
    left = size
    while left:
        open_classes = [c for c, n in enumerate(counts) if quota[c] < n]
        step = max(left // len(open_classes), 1)
        for c in open_classes:
            extra = min(step, counts[c] - quota[c], left)
            quota[c] += extra
            left -= extra
    return quota


def _draw(y: Tensor, class_id: int, n: int, seed: int, key: str) -> tuple[Tensor, Tensor]:
    rows = torch.nonzero(y == class_id).flatten()
    generator = torch.Generator().manual_seed(derive_seed(seed, key, class_id))
    shuffled = rows[torch.randperm(len(rows), generator=generator)]
    return shuffled[:n], shuffled[n:]
