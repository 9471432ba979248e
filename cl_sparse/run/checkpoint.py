"""Saves a run after each task, so that a killed run loses at most the task in progress.

A checkpoint holds tensors and plain values only and is read with ``weights_only=True``: loading one runs no code.
Random generators are not in it; every task's are derived from the run's seed.
"""

import os
from pathlib import Path
from typing import Any

import torch

from cl_sparse.errors import UserError
from cl_sparse.plugins import Mechanisms, Plugin
from cl_sparse.strategies import Learner
from cl_sparse.synapses.structure import rebuild, structure_of


def checkpoint_path(results_dir: Path, name: str, seed: int) -> Path:
    """Return where the checkpoint of a run lies."""
    return results_dir / "checkpoints" / f"{name}_seed{seed}.pt"


def learner_state(learner: Learner) -> dict[str, Any]:
    """Return all of a learner that training changes, but for the random generators."""
    iterations = {
        name: module.learning_iterations
        for name, module in learner.model.named_modules()
        if hasattr(module, "learning_iterations")
    }
    return {
        "structure": structure_of(learner.model),
        "model": learner.model.state_dict(),
        "learning_iterations": iterations,
        "optimizer": learner.optimizer.state_dict(),
        "tasks_trained": learner.clock.train_exp_counter,
        "classes_seen": sorted(learner.classes_seen),
        "plugins": {type(plugin).__name__: plugin.state_dict() for plugin in own_plugins(learner)},
    }


def restore_learner(learner: Learner, state: dict[str, Any]) -> None:
    """Put a freshly built learner into the state that :func:`learner_state` returned.

    Raises:
        UserError: if the state is from before the classes seen were in it, and they count.
        KeyError: if the state lacks one of the learner's plugins or layers.
    """
    if "classes_seen" not in state and learner.loss_outputs != "all":
        raise UserError(f"loss_outputs {learner.loss_outputs}: the checkpoint does not say which classes were seen")
    if "structure" in state:  # not in checkpoints from before nets could grow
        _rebuild(learner, state["structure"])
    learner.model.load_state_dict(state["model"])
    for name, iterations in state["learning_iterations"].items():
        learner.model.get_submodule(name).learning_iterations = iterations
    learner.optimizer.load_state_dict(state["optimizer"])
    # Avalanche's first train() empties the optimizer's state unless it finds its own record of the parameters.
    learner.optimized_param_id = dict(learner.model.named_parameters())
    learner.clock.train_exp_counter = state["tasks_trained"]
    learner.classes_seen = set(state.get("classes_seen", ()))
    for plugin in own_plugins(learner):
        plugin.load_state_dict(state["plugins"][type(plugin).__name__])


def _rebuild(learner: Learner, structure: dict[str, Any]) -> None:
    ledgers = [p.ledger for p in own_plugins(learner) if isinstance(p, Mechanisms) and p.ledger is not None]
    for ledger in ledgers:
        ledger.rebuild(structure)
    if not ledgers:
        rebuild(learner.model, structure)


def own_plugins(learner: Learner) -> list[Plugin]:
    """Return the learner's plugins that know how to save themselves: all but Avalanche's own bookkeeping."""
    return [plugin for plugin in learner.plugins if isinstance(plugin, Plugin)]


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` to ``path``: the whole new file or, if anything fails, the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Return what :func:`save_checkpoint` wrote.

    Raises:
        UserError: if the file is damaged or holds anything but tensors and plain values.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many types for a damaged file; each means the same to the user
        raise UserError(f"{path}: not a readable checkpoint: delete it to start this run anew") from error
    return content
