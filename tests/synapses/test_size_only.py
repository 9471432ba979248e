import pytest
import torch
from torch.nn.functional import cross_entropy

from cl_sparse.models import SimpleMLP, SingleHead
from cl_sparse.synapses import Ledger, NeuronGC, SparsifiedUnits
from cl_sparse.synapses.size_only import SizeOnly

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def trained(optimizer=torch.optim.Adam, batch_norm=False):
    torch.manual_seed(0)
    net = SimpleMLP((6,), lambda n: SingleHead(n, 2), hidden_units=12, hidden_layers=2, batch_norm=batch_norm)
    sizes = SparsifiedUnits(strength=0.1, filter_lr=0.2)
    sizes.wrap(net, 1)
    ledger = Ledger(net, optimizer(net.parameters(), lr=0.01))
    for mechanism in (sizes, SizeOnly(after=2), NeuronGC()):
        ledger.attach(mechanism)
    ledger.before_task(0, [(X, Y)])
    states = [{name: value.clone() for name, value in net.named_parameters()}]
    for epoch in range(5):
        ledger.before_epoch(epoch, 5, 4)
        for _ in range(4):
            ledger.optimizer.zero_grad()
            (cross_entropy(net(X), Y) + ledger.penalty()).backward()
            ledger.optimizer.step()
        states.append({name: value.detach().clone() for name, value in net.named_parameters()})
    return net, ledger, states


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.Adamax])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_weights_are_trained_first_and_then_the_filters_alone(optimizer, batch_norm):
    _, _, states = trained(optimizer, batch_norm)
    filters = [name for name in states[0] if "_filter" in name]
    assert len(filters) == 2
    for name in states[0]:
        early, late = torch.equal(states[0][name], states[2][name]), torch.equal(states[2][name], states[3][name])
        assert (early, late) == ((True, False) if name in filters else (False, True)), name


def test_units_are_removed_then():
    net, ledger, states = trained()
    assert min(found.shape[0] for found in list(ledger.synapses.values())[:-1]) < 12
    before = net(X)
    ledger.after_task(0, [(X, Y)])
    torch.testing.assert_close(net.eval()(X), before)
    assert all(value.shape[0] == 12 for name, value in states[2].items() if name.endswith("filter"))


def test_without_filters_it_is_refused():
    net = SimpleMLP((6,), lambda n: SingleHead(n, 2), hidden_units=5)
    with pytest.raises(ValueError, match="no size to train"):
        Ledger(net).attach(SizeOnly())
    with pytest.raises(ValueError, match="at least 0, not -1"):
        SizeOnly(after=-1)
