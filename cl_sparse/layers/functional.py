"""k-winners as functions: of the units of a layer, the k with the largest boosted value keep their value.

Boosting (Ahmad and Scheinkman 2019, "How can we be so dense?", up to a factor common to all units) ranks the units by
``x * exp(-boost_strength * duty_cycle)``, so that rarely used units win more often; the values passed on are the
unboosted ones. The gradient flows through the winners only.
"""

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)
"""The types of 16 bits: many units tie that do not otherwise, and sums are to be made in another type."""

# Up to this share of winners, copying the winners costs less than masking the losers (measured on a CPU, 128 x 4000).
_FEW_WINNERS = 0.1


def kwinners(
    x: Tensor,
    duty_cycles: Tensor,
    k: int,
    boost_strength: float | Tensor,
    break_ties: bool = False,
    relu: bool = False,
    inplace: bool = False,
    excluded: Tensor | None = None,
) -> Tensor:
    """Keep the k units of each sample with the largest boosted value; the other outputs are 0.

    Args:
        x: (B, n) values of the units, of any floating type.
        duty_cycles: (n,) share of the recent samples that each unit was on for.
        k: number of winners per sample, 0 to n.
        boost_strength: at least 0; 0 ranks by ``x`` itself.
        break_ties: True for exactly k winners; False to let everything at least as large as the k-th largest boosted
            value win, so that ties give more than k.
        relu: drop winners that are not positive.
        inplace: may overwrite ``x``.
        excluded: bool (n,) or (B, n), units that cannot win and get no gradient. If fewer than k others are left, fewer
            win.

    Returns:
        (B, n) tensor of the type of ``x``.
    """
    return keep_winners(x, boosted(x, duty_cycles, boost_strength), k, break_ties, relu, inplace, excluded)[0]


def kwinners2d(
    x: Tensor,
    duty_cycles: Tensor,
    k: int,
    boost_strength: float | Tensor,
    local: bool = True,
    break_ties: bool = False,
    relu: bool = False,
    inplace: bool = False,
) -> Tensor:
    """k-winners of a stack of feature maps.

    Args:
        x: (B, C, H, W) values of the units.
        duty_cycles: (1, C, 1, 1) share of the recent samples and locations that each channel was on for.
        k: number of winners: of the C channels at each location (``local``), or of all C·H·W units of a sample.
        boost_strength: as in :func:`kwinners`.
        local: winners among the channels of each location, instead of among all units of the sample.
        break_ties: as in :func:`kwinners`.
        relu: as in :func:`kwinners`.
        inplace: as in :func:`kwinners`.

    Returns:
        (B, C, H, W) tensor of the type of ``x``.
    """
    ranking = boosted(x, duty_cycles, boost_strength)
    if local:
        return keep_winners(x, ranking, k, break_ties, relu, inplace)[0]
    return keep_winners(x.flatten(1), ranking.flatten(1), k, break_ties, relu, inplace)[0].view(x.shape)


def boosted(x: Tensor, duty_cycles: Tensor, boost_strength: float | Tensor) -> Tensor:
    """Return the values to rank the units by, ``x * exp(-boost_strength * duty_cycles)``, without gradient."""
    # Reading a number from a GPU would stall it; there the multiplication by exp(0) costs less than the look.
    on_gpu = isinstance(boost_strength, Tensor) and boost_strength.device.type != "cpu"
    if not on_gpu and float(boost_strength) == 0.0:
        return x.detach()
    with torch.no_grad():
        return x * torch.exp(-boost_strength * duty_cycles)


def keep_winners(
    x: Tensor,
    ranking: Tensor,
    k: int,
    break_ties: bool = False,
    relu: bool = False,
    inplace: bool = False,
    excluded: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Keep the entries of ``x`` that rank highest along dimension 1.

    Args:
        x: (B, n, ...) values.
        ranking: like ``x``, without gradient: what to rank by.
        k: number of winners.
        break_ties: as in :func:`kwinners`.
        relu: as in :func:`kwinners`.
        inplace: as in :func:`kwinners`.
        excluded: bool, broadcast to ``x``: what cannot win.

    Returns:
        The (B, n, ...) values with losers set to 0, and the indices (B, k, ...) of the winners along dimension 1, or
        None if they were not needed.
    """
    if excluded is not None:
        # They rank last; if they are needed to fill up, they are 0.
        x = x.masked_fill_(excluded, 0) if inplace else x.masked_fill(excluded, 0)
        ranking = ranking.masked_fill(excluded, -torch.inf)
    if k >= x.shape[1]:
        if not relu:
            return x, None
        return (x.relu_() if inplace else x.relu()), None
    winners, threshold = _winners_or_threshold(ranking, k, break_ties)
    if winners is not None and not inplace:
        values = x.gather(1, winners)
        return torch.zeros_like(x).scatter_(1, winners, values.relu() if relu else values), winners
    if winners is not None:
        losers = torch.ones_like(x, dtype=torch.bool).scatter_(1, winners, False)
    else:
        losers = ranking < threshold
    if relu:
        losers |= x <= 0
    return (x.masked_fill_(losers, 0) if inplace else x.masked_fill(losers, 0)), winners


def _winners_or_threshold(ranking: Tensor, k: int, break_ties: bool) -> tuple[Tensor | None, Tensor]:
    """Return the indices of the k winners (B, k, ...) and the rank (B, 1, ...) that is enough to win.

    The indices are None if ties may give more than k winners, or if masking the losers is the cheaper way.
    """
    n = ranking.shape[1]
    if k == 0 or break_ties:
        best = ranking.topk(k, dim=1, sorted=False)
        return best.indices, best.values
    # The look for ties would stall a GPU.
    if ranking.device.type != "cpu" or k > _FEW_WINNERS * n:
        return None, ranking.topk(k, dim=1, sorted=False).values.amin(dim=1, keepdim=True)
    values, indices = ranking.topk(k + 1, dim=1)
    threshold = values[:, k - 1 : k]
    # Phrased so that a NaN counts as a tie: masking passes NaNs on, so a diverged net does not look silent.
    untied = (values[:, k:] < threshold).all()
    return (indices[:, :k] if untied else None), threshold
