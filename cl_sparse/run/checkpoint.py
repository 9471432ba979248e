"""Saves a run after each task, so that a killed run loses at most the task in progress.

A checkpoint holds tensors and plain values only and is read with ``weights_only=True``: loading one runs no code.
Random generators are not in it; every task's are derived from the run's seed.
"""

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from cl_sparse.config import ExperimentConfig
from cl_sparse.config.identity import differing, short_hash
from cl_sparse.errors import UserError
from cl_sparse.plugins import Mechanisms, Plugin
from cl_sparse.strategies import Learner
from cl_sparse.synapses.structure import rebuild, structure_of


def checkpoint_path(results_dir: Path, config: ExperimentConfig, seed: int) -> Path:
    """Return where the checkpoint of a run lies; runs of one name with other settings have other places."""
    return results_dir / "checkpoints" / f"{config.name}_seed{seed}_{short_hash(config.identity())}.pt"


def earlier_checkpoint(results_dir: Path, config: ExperimentConfig, seed: int) -> Path:
    """Return the checkpoint to go on from, which need not exist.

    Before settings were in its name, a checkpoint had the experiment's name and the seed only: if it is this very
    run's, it gets its present name.
    """
    path = checkpoint_path(results_dir, config, seed)
    nameless = path.with_name(f"{config.name}_seed{seed}.pt")
    if not path.exists() and nameless.exists():
        stored = load_checkpoint(nameless, torch.device("cpu")).get("config")
        if isinstance(stored, dict) and not differing(stored, config.identity()):
            nameless.replace(path)
    return path


@contextmanager
def alone(checkpoint: Path) -> Iterator[None]:
    """Keep every other process from the run of this checkpoint; what a killed one left does not.

    Raises:
        UserError: if another process is at it, or its folder cannot be written to.
    """
    lock = _lock(checkpoint)
    try:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise _under_way(checkpoint) from None
    except OSError as error:
        raise UserError(f"{checkpoint.parent}: cannot write there ({error.strerror})") from None
    try:
        for left in checkpoint.parent.glob(f"{glob.escape(checkpoint.stem)}.*.tmp"):
            left.unlink(missing_ok=True)
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file: the next holder will
            Path(lock.lock_file).unlink(missing_ok=True)  # while it is held: filelock notices and makes a new one
        lock.release()


def check_alone(checkpoint: Path) -> None:
    """Refuse a run that another process is at; write nothing.

    Raises:
        UserError: if there is one.
    """
    lock = _lock(checkpoint)
    if not Path(lock.lock_file).exists():
        return
    try:
        with lock:
            pass
    except Timeout:
        raise _under_way(checkpoint) from None


def _lock(checkpoint: Path) -> FileLock:
    return FileLock(checkpoint.with_suffix(".lock"), timeout=0)


def _under_way(checkpoint: Path) -> UserError:
    return UserError(f"{checkpoint.with_suffix('.lock')}: another process is at this very run: wait for it, or end it")


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
        "plugins": {name: plugin.state_dict() for name, plugin in own_plugins(learner).items()},
    }


def restore_learner(learner: Learner, state: dict[str, Any]) -> None:
    """Put a freshly built learner into the state that :func:`learner_state` returned.

    Raises:
        UserError: if the state is from before the classes seen were in it, and they count; or if it lacks a plugin.
        KeyError: if the state lacks one of the learner's layers.
    """
    plugins = own_plugins(learner)
    lacking = plugins.keys() - state["plugins"].keys()
    if lacking:
        raise UserError(f"the checkpoint holds nothing of {', '.join(sorted(lacking))}: it is another version's")
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
    for name, plugin in plugins.items():
        plugin.load_state_dict(state["plugins"][name])


def _rebuild(learner: Learner, structure: dict[str, Any]) -> None:
    ledgers = [p.ledger for p in own_plugins(learner).values() if isinstance(p, Mechanisms) and p.ledger is not None]
    for ledger in ledgers:
        ledger.rebuild(structure)
    if not ledgers:
        rebuild(learner.model, structure)


def own_plugins(learner: Learner) -> dict[str, Plugin]:
    """Return the learner's plugins that know how to save themselves: all but Avalanche's own bookkeeping.

    Each goes by its class's name; of several of one class the second is ``Name#2``, and so on.
    """
    named: dict[str, Plugin] = {}
    for plugin in learner.plugins:
        if isinstance(plugin, Plugin):
            name = type(plugin).__name__
            count = sum(type(other) is type(plugin) for other in named.values())
            named[f"{name}#{count + 1}" if count else name] = plugin
    return named


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
