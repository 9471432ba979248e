"""The methods an experiment names: its strategy, and the plugins of both."""

from dataclasses import dataclass
from typing import Any

from cl_sparse.config import ExperimentConfig, registry
from cl_sparse.errors import UserError
from cl_sparse.plugins import Mechanisms, Plugin
from cl_sparse.strategies.strategy import Strategy
from cl_sparse.synapses import Mechanism


@dataclass(frozen=True)
class Method:
    """A class that an experiment names, with all its arguments but those that the run fills in."""

    name: str
    cls: Any
    arguments: dict[str, Any]
    experiment: str

    def make(self, *filled: Any) -> Any:
        """Return an object of it.

        Raises:
            UserError: an argument does not fit.
        """
        try:
            return self.cls(*filled, **self.arguments)
        except ValueError as error:
            raise UserError(f"{self.experiment}: plugins: {self.name}: {error}") from error


def strategy_of(config: ExperimentConfig) -> Strategy:
    """Return the strategy the config names."""
    strategy = registry.resolve("strategy", config.effective_strategy)
    if not isinstance(strategy, Strategy):
        raise TypeError(f"{config.effective_strategy} is registered as a strategy but is a {type(strategy).__name__}")
    return strategy


def methods_of(config: ExperimentConfig, *kinds: type) -> list[Method]:
    """Return the methods of some kinds: the strategy's, then the config's; of two with one name the config's counts.

    Raises:
        UserError: if an argument is unknown, missing or refused.
    """
    specs = {spec["name"]: spec for spec in (*strategy_of(config).plugins, *config.plugins)}
    found = [_method(config, dict(spec)) for spec in specs.values()]
    return [method for method in found if issubclass(method.cls, kinds)]


def method_plugins(config: ExperimentConfig) -> list[Plugin]:
    """Return the plugins that the config and its strategy name; all mechanisms are in one.

    Raises:
        UserError: as :func:`methods_of`.
    """
    plugins = [method.make() for method in methods_of(config, Plugin)]
    mechanisms = {method.name: method.make() for method in methods_of(config, Mechanism)}
    return [*plugins, Mechanisms(mechanisms)] if mechanisms else plugins


def _method(config: ExperimentConfig, spec: dict[str, Any]) -> Method:
    name = spec.pop("name")
    return Method(name, registry.resolve("plugin", name), registry.plugin_arguments(name, spec), config.name)
