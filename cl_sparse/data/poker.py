"""Poker hands, drawn and labelled by the rules: vectors of 85 bits, ten classes, most of them rare."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from cl_sparse.data.image_data import ImageData, channel_statistics, make_image_data

HANDS = (
    "nothing",
    "one pair",
    "two pairs",
    "three of a kind",
    "straight",
    "flush",
    "full house",
    "four of a kind",
    "straight flush",
    "royal flush",
)
CARDS, SUITS, RANKS = 5, 4, 13
TRAIN, TEST = 25_010, 1_000_000
RARE = 5  # of each of the two rarest hands in the training split
STRAIGHT_FLUSH, ROYAL_FLUSH = 8, 9


def load_poker() -> ImageData:
    """Return 25,010 hands for training and 1,000,000 for testing; the same ones every time.

    As UCI's "Poker Hand" (Cattral and Oppacher 2002), which is of these sizes: five cards in the order in which they
    were drawn, and in the training split five straight flushes and five royal flushes, which hardly come up by chance.
    The hands themselves are drawn here.
    """
    generator = torch.Generator().manual_seed(0)
    rare = [rare_hands(kind, RARE, generator) for kind in (STRAIGHT_FLUSH, ROYAL_FLUSH)]
    train = torch.cat([drawn_hands(TRAIN - 2 * RARE, generator), *rare])
    test = drawn_hands(TEST, generator)
    (x_train, y_train), (x_test, y_test) = ((as_bits(hands), labels_of(hands)) for hands in (train, test))
    mean, std = channel_statistics(x_train)
    return make_image_data(
        "poker", (x_train, y_train), (x_test, y_test), HANDS, "drawn by rule", mean=mean, std=std, full_scale=1.0
    )


def drawn_hands(n: int, generator: torch.Generator) -> Tensor:
    """Return n hands, long (n, 5): cards 0..51 in the order drawn, suit · 13 + rank, rank 0 the ace."""
    hands = torch.empty(0, CARDS, dtype=torch.long)
    while len(hands) < n:
        more = torch.randint(SUITS * RANKS, (n, CARDS), generator=generator)
        twice = (more.sort(dim=1).values.diff(dim=1) == 0).any(1)
        hands = torch.cat([hands, more[~twice]])  # what is left is any hand alike
    return hands[:n]


def rare_hands(label: int, n: int, generator: torch.Generator) -> Tensor:
    """Return n straight flushes or royal flushes, (n, 5), each in an order drawn at random."""
    suits = torch.randint(SUITS, (n, 1), generator=generator)
    lowest = 9 if label == ROYAL_FLUSH else torch.randint(9, (n, 1), generator=generator)
    ranks = (lowest + torch.arange(CARDS).expand(n, -1)) % RANKS
    order = torch.rand(n, CARDS, generator=generator).argsort(1)
    return (suits * RANKS + ranks).gather(1, order)


def labels_of(hands: Tensor) -> Tensor:
    """Return what each hand is worth, its place in ``HANDS``, long (n,).

    Args:
        hands: long (n, 5), five different cards each.
    """
    suits, ranks = hands // RANKS, hands % RANKS
    counts = one_hot(ranks, RANKS).sum(1).sort(dim=1, descending=True).values
    most, second = counts[:, 0], counts[:, 1]
    ordered = ranks.sort(dim=1).values
    royal = (ordered == torch.tensor([0, 9, 10, 11, 12])).all(1)  # the ace is the highest card too
    straight = (ordered.diff(dim=1) == 1).all(1) | royal
    flush = (suits == suits[:, :1]).all(1)
    labels = torch.zeros(len(hands), dtype=torch.long)
    for label, hand in enumerate(
        (
            most == 2,
            (most == 2) & (second == 2),
            most == 3,
            straight,
            flush,
            (most == 3) & (second == 2),
            most == 4,
            straight & flush,
            royal & flush,
        ),
        start=1,
    ):
        labels[hand] = label
    return labels


def as_bits(hands: Tensor) -> Tensor:
    """Return hands as bits, uint8 (n, 85): of each card the suit, one of 4, and the rank, one of 13."""
    bits = torch.zeros(len(hands), CARDS, SUITS + RANKS, dtype=torch.uint8)
    bits.scatter_(2, (hands // RANKS)[..., None], 1)
    bits.scatter_(2, (SUITS + hands % RANKS)[..., None], 1)
    return bits.flatten(1)
