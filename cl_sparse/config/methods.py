"""The arguments of each plugin: a model per plugin, its fields the keywords of the plugin's constructor.

They stand here and not in the plugin so that an experiment is checked, listed and compared without importing torch;
a test holds the two together.
"""

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
