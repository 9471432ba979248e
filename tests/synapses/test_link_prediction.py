"""Link prediction by paths of length 3 against the definition, path by path."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cl_sparse.synapses.link_prediction import ch3_l3


def slow_ch3(live: torch.Tensor, unit: int, place: int) -> float:
    """CH3-L3 of one pair in the layer's graph, nodes being ("unit", u) and ("input", i)."""
    edges = [(("unit", u), ("input", i)) for u, i in live.nonzero().tolist()]
    neighbours: dict = {}
    for a, b in edges:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    source, target = ("unit", unit), ("input", place)
    paths = [
        (first, second)
        for first in neighbours.get(source, ())
        for second in neighbours[first]
        if target in neighbours[second] and first != target and second != source
    ]
    community = {node for path in paths for node in path}

    def external(node):
        return len(neighbours[node] - community - {source, target})

    return sum(((1 + external(a)) * (1 + external(b))) ** -0.5 for a, b in paths)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), units=st.integers(1, 7), inputs=st.integers(1, 7), density=st.sampled_from([0.2, 0.6])
)
def test_scores_are_those_of_the_definition(seed, units, inputs, density):
    live = torch.rand(units, inputs, generator=torch.Generator().manual_seed(seed)) < density
    scores = ch3_l3(live)
    for unit in range(units):
        for place in range(inputs):
            expected = 0.0 if live[unit, place] else slow_ch3(live, unit, place)
            assert float(scores[unit, place]) == pytest.approx(expected, rel=1e-6)


def test_equal_sums_are_ties():
    # Two units of six inputs each, that share one: all that is missing is alike.
    live = torch.zeros(2, 11, dtype=torch.bool)
    live[0, :6] = live[1, 5:] = True
    scores = ch3_l3(live)
    assert len(set(scores[~live].tolist())) == 1
    assert float(scores[0, 10]) == pytest.approx(5**-0.5)  # four synapses leave the path
