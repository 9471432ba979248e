"""What makes two configs the same experiment: a config from before a parameter existed has that parameter's default."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from cl_sparse.config.model import ExperimentConfig
from cl_sparse.config.registry import PLUGINS, arguments_of


def _defaults_of(model: type[BaseModel]) -> dict[str, Any]:
    return {
        key: field.get_default(call_default_factory=True, validated_data={})
        for key, field in model.model_fields.items()
        if not field.is_required()
    }


_DEFAULTS = _defaults_of(ExperimentConfig)
_NOT_THE_EXPERIMENT = {"seed", "seeds", "description"}  # two runs that differ in these are runs of one experiment


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config, as stored, with the defaults of all it does not say; what is unknown now stays as it is."""
    filled = {**_DEFAULTS, **config}
    return {**filled, "plugins": _plugins(filled["plugins"], _filled)}


def without_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a config says beyond the defaults, the name aside: it stays the same when parameters are added."""
    said = {
        key: value
        for key, value in with_defaults(config).items()
        if key == "name" or key not in _DEFAULTS or value != _DEFAULTS[key]
    }
    return {**said, "plugins": _plugins(said["plugins"], _stripped)} if "plugins" in said else said


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the names of the parameters in which two configs, as stored, are different experiments."""
    one, other = with_defaults(one), with_defaults(other)
    keys = (one.keys() | other.keys()) - _NOT_THE_EXPERIMENT
    return sorted(key for key in keys if one.get(key) != other.get(key))


def short_hash(config: Mapping[str, Any]) -> str:
    """Return 8 hex digits that are equal for configs of one experiment, whenever they were stored."""
    said = {key: value for key, value in without_defaults(config).items() if key not in _NOT_THE_EXPERIMENT}
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _plugins(plugins: Any, change: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]) -> Any:
    """Change each plugin, given its arguments' defaults; a stored config may hold anything, which stays as it is."""
    if not isinstance(plugins, list):
        return plugins
    return [
        change(plugin, _defaults_of(arguments_of(plugin["name"]))) if _is_known(plugin) else plugin
        for plugin in plugins
    ]


def _is_known(plugin: Any) -> bool:
    return isinstance(plugin, dict) and isinstance(plugin.get("name"), str) and plugin["name"] in PLUGINS


def _filled(plugin: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    return plugin | {key: value for key, value in defaults.items() if key not in plugin}


def _stripped(plugin: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in plugin.items() if key not in defaults or value != defaults[key]}
