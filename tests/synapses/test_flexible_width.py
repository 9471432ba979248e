"""Windows over units: where they start, and where they go."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from cl_sparse.errors import UserError
from cl_sparse.layers.filter_placement import filters_of
from cl_sparse.synapses import FlexibleWidth
from tests.synapses.filtered_nets import data, learn, made, net_of


def test_a_window_moves_towards_fewer_units() -> None:
    net, ledger = made(FlexibleWidth(strength=0.05, filter_lr=1.0))
    before = [float(own.size().detach()) for _, own in filters_of(net).values()]
    learn(net, ledger, 0)
    after = [float(own.size().detach()) for _, own in filters_of(net).values()]
    assert before == pytest.approx([10.0, 10.0], abs=0.1)
    assert all(b < a for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("random_slope", [False, True])
def test_a_window_stays_open_at_first_and_then_starts_where_it_was_to_start(random_slope: bool) -> None:
    sizes = FlexibleWidth(strength=0.05, start=0.25, after=2, random_slope=random_slope)
    net, ledger = made(sizes)
    plain, own = net_of(), [window for _, window in filters_of(net).values()]
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    x, y, labels = data(0)
    ledger.before_task(0)
    for epoch in range(4):
        ledger.before_epoch(epoch, 4, 5)
        if epoch == 2:
            assert [float(window.edge.detach()) for window in own] == [5.0, 5.0]
        for _ in range(5):
            for one, its, cost in ((net, ledger.optimizer, ledger.penalty()), (plain, optimizer, 0.0)):
                its.zero_grad()
                (cross_entropy(one(x, labels), y) + cost).backward()
                its.step()
        if epoch == 1:  # the net without windows
            assert torch.equal(net(x, labels), plain(x, labels))
    assert all(float(window.edge.detach()) != 5.0 for window in own)
    before = [float(window.edge.detach()) for window in own]
    ledger.before_task(1)
    ledger.before_epoch(0, 4, 5)
    assert [float(window.edge.detach()) for window in own] == before


def test_a_window_that_never_starts_is_refused() -> None:
    _, ledger = made(FlexibleWidth(after=3))
    ledger.before_task(0)
    with pytest.raises(UserError, match="after must be below the 3 epochs of the first task"):
        ledger.before_epoch(0, 3, 5)
