"""Which inputs connect to which units, as index tensors; nothing here is as large as inputs × units."""

from dataclasses import dataclass

import torch
from torch import Tensor

_CHUNK = 1 << 22  # positions looked at together where a dense draw is the quicker one
_DENSE_DRAW = 1 / 8  # share of live inputs from which drawing among all positions beats drawing one by one


@dataclass(frozen=True)
class Wiring:
    """The places of the live synapses, sorted by major and then by minor, without duplicates.

    Attributes:
        pointers: (majors + 1,) where each major's synapses begin; int32 where that suffices.
        minors: (nnz,) the other end of each synapse, of the same type.
    """

    pointers: Tensor
    minors: Tensor

    def majors(self) -> Tensor:
        """Return the major of each synapse, long (nnz,)."""
        return torch.repeat_interleave(self.pointers.diff().long())


def wiring_of(majors: Tensor, minors: Tensor, shape: tuple[int, int]) -> tuple[Wiring, Tensor]:
    """Sort synapses given in any order.

    Args:
        majors: long (nnz,).
        minors: long (nnz,).
        shape: numbers of majors and minors.

    Returns:
        The wiring, and the permutation (nnz,) that sorts: synapse i of the wiring is the given one at ``order[i]``.

    Raises:
        ValueError: an index is out of its range, or a synapse is there twice.
    """
    if majors.dim() != 1 or majors.shape != minors.shape:
        raise ValueError(f"indices must be two rows of equal length, not {tuple(majors.shape)}, {tuple(minors.shape)}")
    for ids, size in ((majors, shape[0]), (minors, shape[1])):
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < size:
            raise ValueError(f"an index is from {int(ids.min())} to {int(ids.max())}, not from 0 to {size - 1}")
    keys, order = (majors.long() * shape[1] + minors.long()).sort()
    if (keys.diff() == 0).any():
        raise ValueError("a synapse is there twice")
    kind = index_type(shape, keys.numel())
    counts = torch.bincount(majors.long(), minlength=shape[0])
    pointers = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return Wiring(pointers.to(kind), (keys % max(1, shape[1])).to(kind)), order


def index_type(shape: tuple[int, int], nnz: int) -> torch.dtype:
    """Return int32 where it holds every index and count, else int64."""
    return torch.int32 if max(*shape, nnz) < 2**31 else torch.int64


def draw_inputs(units: int, inputs: int, fan_in: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Draw ``fan_in`` different inputs for each unit, every set equally likely, from torch's global random numbers.

    Returns:
        Units and inputs of the synapses, long (units·fan_in,) each, sorted.

    Raises:
        ValueError: there are not that many inputs.
    """
    if not 0 <= fan_in <= inputs:
        raise ValueError(f"fan_in must be from 0 to {inputs}, the number of inputs, not {fan_in}")
    draw = _draw_among_all if fan_in > _DENSE_DRAW * inputs else _draw_one_by_one
    step = max(1, _CHUNK // max(1, inputs if draw is _draw_among_all else fan_in))
    rows = [draw(min(step, units - first), inputs, fan_in, device) for first in range(0, units, step)]
    drawn = torch.cat(rows) if rows else torch.empty(0, fan_in, dtype=torch.long, device=device)
    return torch.arange(units, device=device).repeat_interleave(fan_in), drawn.flatten()


def draw_distinct(n: int, k: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw ``k`` different numbers below ``n``, every set equally likely, long (k,), sorted; nothing as large as n.

    Where ``k`` is more than half of ``n``, what is left out is drawn.

    Args:
        n: any number of places.
        k: how many of them.
        generator: on the CPU; default: torch's global one.

    Raises:
        ValueError: there are fewer.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} different numbers below {n}: there are none")
    if 2 * k > n:
        return draw_free(draw_distinct(n, n - k, generator), n, None)
    drawn = torch.zeros(0, dtype=torch.long)
    while len(drawn) < k:
        more = torch.randint(n, (k - len(drawn),), generator=generator)
        drawn = torch.unique(torch.cat([drawn, more]))
    return drawn


def draw_free(taken: Tensor, n: int, k: int | None, generator: torch.Generator | None = None) -> Tensor:
    """Draw ``k`` different numbers below ``n`` that are not ``taken``, every set equally likely, long (k,), sorted.

    Args:
        taken: long (t,), different ones, in any order.
        n: any number of places.
        k: how many; None: all that are free.
        generator: on the CPU; default: torch's global one.

    Raises:
        ValueError: fewer are free.
    """
    free = n - len(taken)
    rank = torch.arange(free) if k is None else draw_distinct(free, k, generator)
    before = taken.sort().values - torch.arange(len(taken), device=taken.device)  # free ones below each taken one
    rank = rank.to(taken.device)
    return rank + torch.searchsorted(before, rank, right=True)


def _draw_among_all(units: int, inputs: int, fan_in: int, device: torch.device | None) -> Tensor:
    return torch.rand(units, inputs, device=device).topk(fan_in, dim=1, sorted=False).indices.sort(1).values


def _draw_one_by_one(units: int, inputs: int, fan_in: int, device: torch.device | None) -> Tensor:
    """Draw with replacement and draw the repeats again, until there are none: the first distinct ones of a sequence."""
    drawn = torch.randint(inputs, (units, fan_in), device=device).sort(1).values
    while fan_in > 1:
        repeats = torch.zeros_like(drawn, dtype=torch.bool)
        repeats[:, 1:] = drawn[:, 1:] == drawn[:, :-1]
        count = int(repeats.sum())
        if not count:
            break
        drawn[repeats] = torch.randint(inputs, (count,), device=device)
        drawn = drawn.sort(1).values
    return drawn
