"""A small net with filters, its data, and how it learns."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cl_sparse.models import MultiHead, SimpleMLP, SingleHead
from cl_sparse.synapses import Ledger, Mechanism

N_IN, TASKS = 10, 2


def net_of(heads: int = TASKS, units: int = 20) -> SimpleMLP:
    torch.manual_seed(0)
    head = (lambda n: MultiHead(n, heads, 3)) if heads > 1 else (lambda n: SingleHead(n, 3))
    return SimpleMLP((N_IN,), head, hidden_units=units, hidden_layers=2)


def data(task: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(task)
    x = torch.randn(32, N_IN, generator=generator)
    return x, (x[:, task] > 0).long(), torch.full((32,), task)


def made(*mechanisms: Mechanism, heads: int = TASKS, weight_decay: float = 0.0) -> tuple[SimpleMLP, Ledger]:
    net = net_of(heads)
    mechanisms[0].wrap(net, TASKS)
    ledger = Ledger(net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=weight_decay))
    for mechanism in mechanisms:
        ledger.attach(mechanism)
    return net, ledger


def learn(net: nn.Module, ledger: Ledger, task: int, epochs: int = 3, steps: int = 10) -> None:
    x, y, labels = data(task)
    ledger.before_task(task)
    for epoch in range(epochs):
        net.train()
        ledger.before_epoch(epoch, epochs, steps)
        for _ in range(steps):
            ledger.optimizer.zero_grad()
            (cross_entropy(net(x, labels), y) + ledger.penalty()).backward()
            ledger.optimizer.step()
    ledger.after_task(task, [data(task)])
