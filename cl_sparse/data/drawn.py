"""A generator of its own for each shuffle, so that one mechanism's draws do not move another's."""

import torch


def drawn_generator() -> torch.Generator:
    """Return a generator seeded from the global one, which the runner seeds anew at the start of every task."""
    return torch.Generator().manual_seed(int(torch.randint(2**62, ())))
