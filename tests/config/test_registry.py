import inspect
import math
from typing import Literal

import pytest
from pydantic import Field

from cl_sparse.config.methods import Arguments
from cl_sparse.config.registry import (
    BENCHMARKS,
    PLUGINS,
    STRATEGIES,
    ArgumentError,
    Method,
    arguments_of,
    plugin_arguments,
    resolve,
    unknown_name,
)
from cl_sparse.config.wording import join_or, near
from cl_sparse.errors import UserError


class Example(Arguments):
    size: int = Field(ge=1, description="How many.")
    share: float = Field(0.5, description="How much.")
    mode: Literal["a", "b"] = Field("a", description="How.")


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLUGINS, "example", Method("nowhere:Example", Example))
    monkeypatch.setitem(PLUGINS, "bare", Method("nowhere:Bare", Arguments))


def problem(plugin: str, **args: object) -> str:
    with pytest.raises(ArgumentError) as caught:
        plugin_arguments(plugin, args)
    return f"{caught.value.key}: {caught.value}"


def test_every_entry_is_a_module_and_an_attribute() -> None:
    for table in (BENCHMARKS, STRATEGIES, PLUGINS):
        for entry in table.values():
            module, _, attribute = (entry if isinstance(entry, str) else entry.place).partition(":")
            assert all(part.isidentifier() for part in module.split("."))
            assert attribute.isidentifier()


def test_resolve_imports_or_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLUGINS, "ordered", Method("collections:OrderedDict"))
    assert resolve("plugin", "ordered").__name__ == "OrderedDict"
    with pytest.raises(UserError, match=r"unknown plugin 'orderd', did you mean ordered\?"):
        resolve("plugin", "orderd")
    assert unknown_name("strategy", "sequential") is None


def test_good_arguments_pass_and_defaults_are_filled_in() -> None:
    assert plugin_arguments("example", {"size": 3}) == {"size": 3, "share": 0.5, "mode": "a"}
    assert plugin_arguments("example", {"size": 3, "share": 1, "mode": "b"}) == {"size": 3, "share": 1.0, "mode": "b"}
    assert plugin_arguments("bare", {}) == {}


def test_bad_arguments_are_named() -> None:
    assert problem("example", size=1, shar=1) == "plugins.example.shar: unknown argument, did you mean share?"
    assert problem("example") == "plugins.example.size: is missing"
    assert problem("example", size=0) == "plugins.example.size: 0 is out of range: at least 1"
    assert problem("example", size="3") == "plugins.example.size: '3' is text: a whole number is needed"
    assert problem("example", size=3, share=math.nan) == "plugins.example.share: nan: a finite number is needed"
    assert problem("example", size=3, mode="c") == "plugins.example.mode: 'c' is not one of 'a' or 'b'"
    assert problem("bare", size=3) == "plugins.bare.size: unknown argument: it takes none"


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugins_arguments_are_its_constructors(name: str) -> None:
    model = arguments_of(name)
    expected = {key: field.default if not field.is_required() else None for key, field in model.model_fields.items()}
    parameters = inspect.signature(resolve("plugin", name)).parameters.values()
    chosen = {p.name: p.default for p in parameters if p.name not in PLUGINS[name].filled}
    assert chosen == expected
    assert set(PLUGINS[name].filled) <= {p.name for p in parameters}
    assert all(str(field.description).endswith(".") for field in model.model_fields.values())


def test_near_finds_typos_parts_and_cases() -> None:
    names = ["MLP_1Layer", "MLP_2Layers", "CNN"]
    assert near("MLP_1Layr", names) == ", did you mean MLP_1Layer or MLP_2Layers?"
    assert near("mlp", names) == ", did you mean MLP_1Layer or MLP_2Layers?"
    assert near("cnn", names) == ", did you mean CNN?"
    assert near("zzz", names) == ", choose one of: MLP_1Layer, MLP_2Layers, CNN"
    assert near("zzz", []) == ""
    assert join_or([1, 2, 5]) == "1, 2 or 5"
