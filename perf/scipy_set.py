"""SET as its authors compute it, in SciPy: CSR matrices, gradients at stored places only, momentum and decay."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Array = NDArray[Any]


class ScipySET:
    """A net of sparse layers with ReLU and softmax (Mocanu et al. 2018; hyperparameters as published).

    Args:
        widths: inputs, hidden units, outputs.
        epsilon: each layer has ε·(inputs + units) weights, or all.
        zeta: share of the positive and of the negative weights that :meth:`evolve` replaces.
        seed: of all that is drawn.
    """

    def __init__(self, widths: Sequence[int], epsilon: float = 20, zeta: float = 0.3, seed: int = 0) -> None:
        self.random, self.zeta = np.random.default_rng(seed), zeta
        self.weights, self.biases = [], [np.zeros(units, np.float32) for units in widths[1:]]
        for inputs, units in pairwise(widths):
            count = min(inputs * units, round(epsilon * (inputs + units)))
            places = self.random.choice(inputs * units, count, replace=False)
            values = self.random.standard_normal(count).astype(np.float32) / 10
            self.weights.append(csr_array((values, divmod(places, units)), shape=(inputs, units)))
        self.moments = [np.zeros_like(weight.data) for weight in self.weights]
        self.bias_moments = [np.zeros_like(bias) for bias in self.biases]
        self.places = [weight.tocoo().coords for weight in self.weights]

    def forward(self, x: Array) -> list[Array]:
        """Return the inputs (B, inputs), the activities of each hidden layer, and the logits."""
        activities = [x]
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True), start=1):
            z = activities[-1] @ weight + bias
            activities.append(z if number == len(self.weights) else np.maximum(z, 0))
        return activities

    def gradients(self, x: Array, y: Array) -> tuple[list[Array], list[Array]]:
        """Return those of the mean cross-entropy by the weights, at stored places (nnz,), and by the biases."""
        activities = self.forward(x)
        odds = np.exp(activities[-1] - activities[-1].max(1, keepdims=True))
        delta = odds / odds.sum(1, keepdims=True)
        delta[np.arange(len(y)), y] -= 1
        delta /= len(y)
        of_weights, of_biases = [], []
        for number in reversed(range(len(self.weights))):
            rows, columns = self.places[number]
            of_weights.append(np.einsum("bn,bn->n", activities[number][:, rows], delta[:, columns]))
            of_biases.append(delta.sum(0))
            delta = (delta @ self.weights[number].T) * (activities[number] > 0)
        return of_weights[::-1], of_biases[::-1]

    def step(self, x: Array, y: Array, lr: float = 0.01, momentum: float = 0.9, decay: float = 2e-4) -> None:
        """Take one step: v ← μ·v − lr·g, then w ← w + v − decay·w."""
        of_weights, of_biases = self.gradients(x, y)
        for weight, moment, gradient in zip(self.weights, self.moments, of_weights, strict=True):
            moment *= momentum
            moment -= lr * gradient
            weight.data += moment - decay * weight.data
        for bias, moment, gradient in zip(self.biases, self.bias_moments, of_biases, strict=True):
            moment *= momentum
            moment -= lr * gradient
            bias += moment - decay * bias

    def evolve(self) -> None:
        """Drop the smallest positive and the largest negative weights, and grow as many anywhere else."""
        for number, weight in enumerate(self.weights):
            stays = np.ones(weight.nnz, bool)
            for sign in (weight.data >= 0, weight.data < 0):
                there = sign.nonzero()[0]
                order = np.abs(weight.data[there]).argsort()
                stays[there[order[: round(self.zeta * len(there))]]] = False
            rows, columns = self.places[number]
            old = rows.astype(np.int64) * weight.shape[1] + columns
            free = np.setdiff1d(np.arange(weight.shape[0] * weight.shape[1]), old, assume_unique=True)
            grown = self.random.choice(free, min(len(free), int((~stays).sum())), replace=False)
            stays[(~stays).nonzero()[0][len(grown) :]] = True
            places = np.concatenate([old[stays], grown])
            order = places.argsort()
            values = np.concatenate(
                [weight.data[stays], self.random.standard_normal(len(grown)).astype(np.float32) / 10]
            )
            moments = np.concatenate([self.moments[number][stays], np.zeros(len(grown), np.float32)])
            self.moments[number] = moments[order]
            self.places[number] = divmod(places[order], weight.shape[1])
            self.weights[number] = csr_array((values[order], self.places[number]), shape=weight.shape)
