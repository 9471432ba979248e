"""Of which predictions the Fisher information is taken."""

import pytest
import torch
from torch import nn

from cl_sparse.synapses.importance import Likelihood, fisher, fisher_factors


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_a_temperature_softens_the_predictions(temperature):
    torch.manual_seed(0)
    net, soft = (nn.Sequential(nn.Linear(5, 4)).double() for _ in range(2))
    batches = [(torch.randn(30, 5).double(), torch.randint(0, 4, (30,)))]
    soft.load_state_dict({key: value / temperature for key, value in net.state_dict().items()})
    of, plain = Likelihood("given", temperature=temperature), Likelihood("given")
    expected = fisher(soft, batches, torch.Generator(), plain)
    for name, found in fisher(net, batches, torch.Generator(), of).items():
        torch.testing.assert_close(found, expected[name] / temperature**2)  # the net's weights are the others times it
    (_, units), (_, others) = (
        fisher_factors(model, batches, torch.Generator(), asked)["0"] for model, asked in ((net, of), (soft, plain))
    )
    torch.testing.assert_close(units, others / temperature**2)


def test_a_net_that_is_sure_is_held_where_its_predictions_are_softened():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 4))
    nn.init.normal_(net[0].weight, std=100.0)
    batches = [(torch.randn(30, 5), torch.zeros(30, dtype=torch.long))]
    sure, soft = (
        fisher(net, batches, torch.Generator().manual_seed(0), Likelihood(temperature=t))["0.weight"]
        for t in (1.0, 100.0)
    )
    assert soft.mean() * 100**2 > 100 * sure.mean()


def test_numbers_out_of_range_are_refused():
    for wrong in ({"samples": 0}, *({"temperature": t} for t in (0.0, 1e-30, 1e30, float("nan"), float("inf")))):
        with pytest.raises(ValueError, match=r"samples must be at least 1, temperature from \.01"):
            Likelihood(**wrong)
    with pytest.raises(ValueError, match="labels must be drawn or given"):
        Likelihood("drwan")
