"""All of a learner that training changes, but for the random generators, and putting a fresh one into that state."""

from typing import Any

import torch

from cl_sparse.errors import UserError
from cl_sparse.plugins import Mechanisms, Plugin
from cl_sparse.strategies import Learner
from cl_sparse.synapses.structure import rebuild, structure_of


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
        UserError: if the state is from before the classes seen were in it, and they count; or if it is not of the
            learner's plugins.
        Exception: of many types, if anything else in it does not fit the learner.
    """
    plugins = own_plugins(learner)
    _check_names("the checkpoint holds nothing of", plugins.keys() - state["plugins"].keys())
    _check_names("the run has no plugin", state["plugins"].keys() - plugins.keys())
    if "classes_seen" not in state and learner.loss_outputs != "all":
        raise UserError(f"loss_outputs {learner.loss_outputs}: the checkpoint does not say which classes were seen")
    if "structure" in state:  # not in checkpoints from before nets could grow
        _rebuild(learner, state["structure"])
    learner.model.load_state_dict(state["model"])
    for name, iterations in state["learning_iterations"].items():
        layer = learner.model.get_submodule(name)
        if not hasattr(layer, "learning_iterations"):
            raise ValueError(f"{name} counts no iterations")
        layer.learning_iterations = iterations
    _restore_optimizer(learner, state["optimizer"])
    learner.clock.train_exp_counter = state["tasks_trained"]
    learner.classes_seen = set(state.get("classes_seen", ()))
    for name, plugin in plugins.items():
        plugin.load_state_dict(state["plugins"][name])


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


def _check_names(what: str, names: set[str]) -> None:
    if names:
        raise UserError(f"{what} {', '.join(sorted(names))}: it is another version's")


def _rebuild(learner: Learner, structure: dict[str, Any]) -> None:
    ledgers = [p.ledger for p in own_plugins(learner).values() if isinstance(p, Mechanisms) and p.ledger is not None]
    for ledger in ledgers:
        ledger.rebuild(structure)
    if not ledgers:
        rebuild(learner.model, structure)


def _restore_optimizer(learner: Learner, state: dict[str, Any]) -> None:
    """Load an optimizer's state, and check what torch does not: its settings, and the shapes of what it keeps."""
    own = _settings(learner.optimizer.state_dict())
    if _settings(state) != own:
        raise ValueError(f"the optimizer's settings are {_settings(state)}, not {own}")
    learner.optimizer.load_state_dict(state)
    for parameter, kept in learner.optimizer.state.items():
        for name, value in kept.items():
            if torch.is_tensor(value) and value.dim() and value.shape != parameter.shape:
                raise ValueError(f"{name} of shape {tuple(value.shape)} for a parameter of {tuple(parameter.shape)}")
    # Avalanche's first train() empties the optimizer's state unless it finds its own record of the parameters.
    learner.optimized_param_id = dict(learner.model.named_parameters())


def _settings(state: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in group.items() if name != "params"} for group in state["param_groups"]]
