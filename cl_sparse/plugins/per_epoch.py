"""Loss and accuracy after each training epoch, on the data trained on and on test data."""

from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from cl_sparse.metrics import calibration_error
from cl_sparse.plugins.epoch_log import EpochLog
from cl_sparse.plugins.fit import Fit

_NOISE_SEED = 0  # the same noise in every epoch and run


class _Epoch(BaseModel):
    """What is recorded of one epoch."""

    model_config = ConfigDict(strict=True, extra="forbid")

    task: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    test_calibration_error: float
    val_accuracy: float | None = None
    noise_loss: float | None = None
    noise_accuracy: float | None = None


class PerEpoch(EpochLog):
    """Record loss and accuracy on the task under training, after each of its epochs.

    Training: means over the epoch's samples as they were trained on, so of a net that was changing, with dropout and
    penalties. Test: the net as it is when the epoch has ended and all others have done what they do then, as at the
    task's end: the last epoch's accuracy is the run's. Nothing it does changes the learner, nor what is drawn. Where
    targets are numbers, accuracies are R².

    Args:
        noise: test once more with this share of the inputs, each drawn for itself, set to the test data's mean plus two
            standard deviations (``test_noise`` of Numenta's dynamic_sparse); the same ones in each epoch. 0: not.

    Raises:
        ValueError: the share is out of range.
    """

    entry = _Epoch
    acts_last = True

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__()
        if not 0 <= noise <= 1:
            raise ValueError(f"noise must be from 0 to 1, not {noise}")
        self.noise = noise
        self._trained, self._tested = _Sums(), _Sums()
        self._testing = False
        self._bright: float | None = None  # what noise sets inputs to, while it does
        self._drawn = torch.Generator()

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Count anew."""
        self._trained = _Sums()

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Count the mini-batch just trained on."""
        self._trained.add(strategy)

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        """Test, and note what the epoch came to."""
        experience = strategy.experience
        benchmark, task = experience.benchmark, experience.current_experience
        test = self._test(strategy, benchmark.test_stream[task])
        epoch = {
            "task": task,
            "train_loss": self._trained.loss(),
            "train_accuracy": self._trained.accuracy(),
            "test_loss": test.loss(),
            "test_accuracy": test.accuracy(),
            "test_calibration_error": test.calibration_error(),
        }
        if self.noise:
            noisy = self._test(strategy, benchmark.test_stream[task], test.mean_plus_two_deviations())
            epoch |= {"noise_loss": noisy.loss(), "noise_accuracy": noisy.accuracy()}
        if getattr(benchmark, "val_stream", None) is not None:
            epoch["val_accuracy"] = self._test(strategy, benchmark.val_stream[task]).accuracy()
        self.epochs.append(_Epoch.model_validate(epoch).model_dump())

    def _test(self, strategy: Any, experience: Any, bright: float | None = None) -> "_Sums":
        self._tested, self._testing, self._bright = _Sums(), True, bright
        self._drawn.manual_seed(_NOISE_SEED)
        try:
            with torch.random.fork_rng(devices=[strategy.device] if strategy.device.type == "cuda" else []):
                strategy.eval([experience])
        finally:
            self._testing = False
        return self._tested

    def before_eval_forward(self, strategy: Any, **kwargs: Any) -> None:
        """Add the noise, if this is a test with noise."""
        if not self._testing:
            return
        x: Tensor = strategy.mbatch[0]
        if self._bright is None:
            self._tested.see(x)
            return
        spots = torch.rand(x.shape, generator=self._drawn) < self.noise
        strategy.mbatch[0] = x.masked_fill(spots.to(x.device), self._bright)

    def after_eval_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Count the mini-batch just classified."""
        if self._testing:
            self._tested.add(strategy, keep=True)

    def statistics(self) -> dict[str, Any]:
        """Return the task and each number, (epochs over all tasks,); what was not measured is absent."""
        names = [name for name in _Epoch.model_fields if any(epoch[name] is not None for epoch in self.epochs)]
        return {name: np.array([epoch[name] for epoch in self.epochs]) for name in names}


class _Sums:
    """Sums over samples that were trained on, or tested."""

    def __init__(self) -> None:
        self.n = 0
        self._loss: Tensor | float = 0.0
        self._right: Tensor | int = 0
        self._fit = Fit()
        self.confidence: list[Tensor] = []
        self.right: list[Tensor] = []
        self._pixels = 0
        self._sum = self._squares = 0.0

    def add(self, strategy: Any, keep: bool = False) -> None:
        """Count a mini-batch; ``keep`` how sure the net was of each sample."""
        logits, y = strategy.mb_output.detach(), strategy.mb_y
        self.n += len(y)
        self._loss = self._loss + strategy.loss.detach().double() * len(y)
        if y.is_floating_point():
            self._fit.add(logits[:, 0], y)
            return
        best, answer = logits.max(dim=1)
        right = answer == y
        self._right = self._right + right.sum()
        if keep:
            self.confidence.append((best - logits.logsumexp(dim=1)).exp().clamp(max=1).cpu())
            self.right.append(right.cpu())

    def see(self, x: Tensor) -> None:
        """Take in the inputs of a mini-batch."""
        pixels = x.double()
        self._pixels += x.numel()
        self._sum += float(pixels.sum())
        self._squares += float(pixels.square().sum())

    def loss(self) -> float:
        """Return the mean loss."""
        return float(self._loss) / self.n

    def accuracy(self) -> float:
        """Return the share classified rightly, or R² where targets are numbers."""
        return self._fit.r2() if self._fit.n else int(self._right) / self.n

    def calibration_error(self) -> float:
        """Return the calibration error of the samples kept; NaN where targets are numbers."""
        if not self.confidence:
            return float("nan")
        return calibration_error(torch.cat(self.confidence), torch.cat(self.right))

    def mean_plus_two_deviations(self) -> float:
        """Return the mean of all inputs plus two of their standard deviations."""
        mean = self._sum / self._pixels
        return mean + 2 * float(np.sqrt(max(0.0, self._squares / self._pixels - mean**2)))
