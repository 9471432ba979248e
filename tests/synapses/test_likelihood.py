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


@pytest.mark.parametrize("classes", [True, False])
def test_outputs_that_are_means_have_the_squared_errors_gradients(classes):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    x = torch.randn(7, 5).double()
    y = torch.randint(0, 3, (7,)) if classes else torch.randn(7, 3).double()
    wanted = nn.functional.one_hot(y, 3).double() if classes else y
    squares = torch.zeros_like(net[0].weight)
    for row, target in zip(x, wanted, strict=True):
        squares += torch.autograd.grad(0.5 * (net(row) - target).square().sum(), net[0].weight)[0].square() / 7
    of = Likelihood("given", output="gaussian")
    torch.testing.assert_close(fisher(net, [(x, y)], torch.Generator(), of)["0.weight"], squares)
    half = Likelihood("given", temperature=2.0, output="gaussian")
    torch.testing.assert_close(fisher(net, [(x, y)], torch.Generator(), half)["0.weight"], squares / 2**4)


def test_drawn_errors_of_means_are_normal_whatever_the_net_predicts():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 4))
    batches = [(torch.randn(20_000, 5), torch.zeros(20_000, dtype=torch.long))]
    of = Likelihood(output="gaussian")
    units = fisher_factors(net, batches, torch.Generator().manual_seed(0), of)["0"][1]
    torch.testing.assert_close(units, torch.eye(4, dtype=units.dtype), rtol=0, atol=0.04)


def test_an_unknown_output_is_refused():
    with pytest.raises(ValueError, match="output must be softmax or gaussian, not 'poisson'"):
        Likelihood(output="poisson")
