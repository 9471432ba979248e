"""The arguments of each plugin: a model per plugin, its fields the keywords of the plugin's constructor.

They stand here and not in the plugin so that an experiment is checked, listed and compared without importing torch;
a test holds the two together.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Arguments(BaseModel):
    """The arguments of a plugin that has none; the others' base."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class ReplayArguments(Arguments):
    """Of ``cl_sparse.plugins.Replay``."""

    mem_size: int = Field(500, ge=1, le=10**9, description="Samples kept, an equal share for every task seen.")
    batch_size_mem: int | None = Field(
        None, ge=1, le=10**9, description="Samples replayed in each step; null: as mb_size."
    )


class AnnealWinnersArguments(Arguments):
    """Of ``cl_sparse.plugins.AnnealWinners``."""

    start: float = Field(1.0, gt=0, le=1, description="Share of units that win in the first epoch of the first task.")


class AugmentArguments(Arguments):
    """Of ``cl_sparse.plugins.Augment``."""

    flip: bool = Field(True, description="Whether half of the images are mirrored, left for right.")
    shift: int = Field(
        0, ge=0, le=1000, description="Most pixels that an image moves by, down and right; zeros come in."
    )


class DarkReplayArguments(Arguments):
    """Of ``cl_sparse.plugins.DarkReplay``."""

    mem_size: int = Field(200, ge=1, le=10**9, description="Samples kept, a uniform choice of all trained on.")
    batch_size_mem: int | None = Field(
        None, ge=1, le=10**9, description="Samples in each of the two mini-batches from the memory; null: as mb_size."
    )
    alpha: float = Field(0.5, ge=0, description="Strength of staying with the stored logits.")
    beta: float = Field(0.5, ge=0, description="Strength of the training loss on stored samples.")


class DecayLearningRateArguments(Arguments):
    """Of ``cl_sparse.plugins.DecayLearningRate``."""

    to: float = Field(0.0, ge=0, le=1, description="Share of the learning rate that is left at a task's last step.")
    warm_up: int = Field(0, ge=0, description="Steps at the start of each task over which the rate rises from near 0.")


class DistillationArguments(Arguments):
    """Of ``cl_sparse.plugins.Distillation``."""

    strength: float = Field(1.0, ge=0, description="Strength of staying with the earlier net's outputs.")
    temperature: float = Field(2.0, gt=0, description="Temperature of the softmax that outputs are compared by.")
    balanced: bool = Field(False, description="Weigh the new loss 1/t and the old net's outputs 1 - 1/t in task t.")


class DumbArguments(Arguments):
    """Of ``cl_sparse.plugins.Dumb``."""

    mem_size: int = Field(500, ge=1, le=10**9, description="Samples kept, an equal share for every class seen.")


class PerEpochArguments(Arguments):
    """Of ``cl_sparse.plugins.PerEpoch``."""

    noise: float = Field(
        0.0, ge=0, le=1, description="Share of inputs that one more test makes bright; 0: no such test."
    )


class StepLearningRateArguments(Arguments):
    """Of ``cl_sparse.plugins.StepLearningRate``."""

    after: list[Annotated[int, Field(ge=1)]] | None = Field(
        None, description="Epochs of a task, counted from 1, that the learning rate falls behind; null: 30, 60, 90."
    )
    factor: float = Field(0.1, ge=0, le=1, description="What the learning rate is multiplied by each time.")
