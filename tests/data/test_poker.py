"""Poker hands: every possible hand counted, the rules one hand at a time, splits as UCI's."""

from collections import Counter
from itertools import chain, combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cl_sparse.config import build_config
from cl_sparse.data import load_data
from cl_sparse.data.poker import HANDS, as_bits, drawn_hands, labels_of, load_poker, rare_hands
from cl_sparse.errors import UserError

# https://en.wikipedia.org/wiki/Poker_probability, without the order of the cards
FREQUENCIES = [1302540, 1098240, 123552, 54912, 10200, 5108, 3744, 624, 36, 4]


def slow_label(hand: list[int]) -> int:
    """Label one hand by the rules as they are told."""
    ranks = sorted(card % 13 + 1 for card in hand)
    same = sorted(Counter(ranks).values(), reverse=True)
    flush = len({card // 13 for card in hand}) == 1
    royal = ranks == [1, 10, 11, 12, 13]
    straight = royal or ranks == list(range(ranks[0], ranks[0] + 5))
    if flush and straight:
        return HANDS.index("royal flush" if royal else "straight flush")
    if same[0] == 4:
        return HANDS.index("four of a kind")
    if same[:2] == [3, 2]:
        return HANDS.index("full house")
    if flush or straight:
        return HANDS.index("flush" if flush else "straight")
    if same[0] == 3:
        return HANDS.index("three of a kind")
    return same.count(2)


def test_every_hand_there_is() -> None:
    cards = np.fromiter(chain.from_iterable(combinations(range(52), 5)), dtype=np.int64, count=5 * 2598960)
    hands = torch.from_numpy(cards).view(-1, 5)
    counts = sum(torch.bincount(labels_of(part), minlength=10) for part in hands.split(500_000))
    assert counts.tolist() == FREQUENCIES


@given(st.lists(st.integers(0, 51), min_size=5, max_size=5, unique=True))
def test_a_hand_in_any_order(hand: list[int]) -> None:
    assert int(labels_of(torch.tensor([hand]))) == slow_label(hand)
    bits = as_bits(torch.tensor([hand]))[0].view(5, 17)
    assert [int(card[:4].argmax()) * 13 + int(card[4:].argmax()) for card in bits] == hand
    assert bits.sum() == 10


def test_hands_are_drawn_alike() -> None:
    hands = drawn_hands(200_000, torch.Generator().manual_seed(1))
    assert (hands.sort(1).values.diff(dim=1) > 0).all()
    share = torch.bincount(hands.flatten(), minlength=52) / hands.numel()
    assert (share * 52 - 1).abs().max() < 0.02
    found = torch.bincount(labels_of(hands), minlength=10)[:4] / len(hands)
    torch.testing.assert_close(found, torch.tensor(FREQUENCIES[:4]) / 2598960, atol=0.004, rtol=0)
    for label in (8, 9):
        assert (labels_of(rare_hands(label, 50, torch.Generator().manual_seed(2))) == label).all()


def test_the_splits() -> None:
    data = load_poker()
    assert (len(data.y_train), len(data.y_test)) == (25_010, 1_000_000)
    assert (data.x_train.dtype, data.x_train.shape[1:]) == (torch.uint8, (85,))
    assert data.class_names == HANDS
    train, test = torch.bincount(data.y_train, minlength=10), torch.bincount(data.y_test, minlength=10)
    assert (train > 0).all()
    assert (test > 0).all()
    assert train[9] == 5
    assert data.mean == pytest.approx((10 / 85,))
    assert data.fingerprint == load_data("poker").fingerprint


def test_an_experiment_may_name_it() -> None:
    assert build_config("mine", {"benchmark": "SplitDataset", "dataset": "poker", "num_batch": 5}).dataset == "poker"
    with pytest.raises(UserError, match="4 does not divide the 10 classes of poker"):
        build_config("mine", {"benchmark": "SplitDataset", "dataset": "poker", "num_batch": 4})
