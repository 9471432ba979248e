"""Small sparse nets, trained in a plain loop with a mechanism of connectivity."""

import torch
from torch import nn

from cl_sparse.layers import KWinners, SparseLinear, SparseWeights, SparseWeights2d, rezero_weights
from cl_sparse.synapses import Ledger

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
}


def a_net(live=False, conv=False):
    if conv:
        first = SparseWeights2d(nn.Conv2d(1, 4, 2), weight_sparsity=0.5)
        return nn.Sequential(first, nn.ReLU(), nn.Flatten(), SparseWeights(nn.Linear(16, 3), weight_sparsity=0.5))
    make = (lambda i, o: SparseLinear(i, o, density=0.4)) if live else masked
    return nn.Sequential(make(9, 12), KWinners(12, 0.5, boost_strength=0.0), make(12, 6), nn.ReLU(), nn.Linear(6, 3))


def masked(inputs, outputs):
    return SparseWeights(nn.Linear(inputs, outputs), weight_sparsity=0.4)


class Training:
    def __init__(self, mechanism, optimizer="sgd", seed=0, others=(), **kind):
        torch.manual_seed(seed)
        self.net, self.mechanism = a_net(**kind), mechanism
        self.optimizer = OPTIMIZERS[optimizer](self.net.parameters())
        self.ledger = Ledger(self.net, self.optimizer, seed)
        for other in (*others, mechanism):
            self.ledger.attach(other)
        self.x = torch.randn(4, 20, 1, 3, 3) if kind.get("conv") else torch.randn(4, 20, 9)
        self.y = torch.randint(3, (4, 20))

    def task(self, task, epochs=4, watch=lambda: None):
        self.ledger.before_task(task)
        for epoch in range(epochs):
            self.ledger.before_epoch(epoch, epochs, 4)
            watch()
            for x, y in zip(self.x, self.y, strict=True):
                self.optimizer.zero_grad()
                nn.functional.cross_entropy(self.net(x), y).backward()
                self.optimizer.step()
                rezero_weights(self.net)
        self.ledger.after_task(task)

    def masks(self):
        masks = {}
        for name, found in self.ledger.synapses.items():
            masks[name] = torch.zeros(found.shape[0], found.shape[1:].numel(), dtype=torch.bool)
            masks[name][found.places()] = True
        return masks
