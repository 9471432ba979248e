from typing import Literal

import pytest

from cl_sparse.config.registry import BENCHMARKS, PLUGINS, STRATEGIES, check_plugin_args, resolve, unknown_name
from cl_sparse.config.wording import join_or, near
from cl_sparse.errors import UserError


class Example:
    def __init__(self, stream: object, size: int, share: float = 0.5, mode: Literal["a", "b"] = "a") -> None:
        self.given = (stream, size, share, mode)


class Bare:
    pass


def problem(cls: type, **args: object) -> str:
    with pytest.raises(UserError) as caught:
        check_plugin_args(cls, args, provided=("stream",), where="plugins.example")
    return str(caught.value)


def test_every_entry_is_a_module_and_an_attribute() -> None:
    for table in (BENCHMARKS, STRATEGIES, PLUGINS):
        for entry in table.values():
            module, _, attribute = (entry if isinstance(entry, str) else entry.place).partition(":")
            assert all(part.isidentifier() for part in module.split("."))
            assert attribute.isidentifier()


def test_resolve_imports_or_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLUGINS, "ordered", "collections:OrderedDict")
    assert resolve("plugin", "ordered").__name__ == "OrderedDict"
    with pytest.raises(UserError, match=r"unknown plugin 'orderd', did you mean ordered\?"):
        resolve("plugin", "orderd")
    assert unknown_name("strategy", "sequential") is None


def test_good_arguments_pass() -> None:
    check_plugin_args(Example, {"size": 3}, provided=("stream",))
    check_plugin_args(Example, {"size": 3, "share": 1, "mode": "b"}, provided=("stream",))
    check_plugin_args(Bare, {})


def test_bad_arguments_are_named() -> None:
    assert problem(Example, size=1, shar=1) == "plugins.example.shar: unknown argument, did you mean share?"
    assert problem(Example, stream=1, size=1).startswith("plugins.example.stream: unknown argument")
    assert problem(Example) == "plugins.example: needs size"
    assert problem(Example, size="3") == "plugins.example.size: '3' is text: a whole number is needed"
    assert problem(Example, size=3, share=float("nan")) == "plugins.example.share: nan: a finite number is needed"
    assert problem(Example, size=3, mode="c") == "plugins.example.mode: 'c' is not one of 'a' or 'b'"
    assert problem(Bare, size=3) == "plugins.example.size: unknown argument: it takes none"


def test_near_finds_typos_parts_and_cases() -> None:
    names = ["MLP_1Layer", "MLP_2Layers", "CNN"]
    assert near("MLP_1Layr", names) == ", did you mean MLP_1Layer or MLP_2Layers?"
    assert near("mlp", names) == ", did you mean MLP_1Layer or MLP_2Layers?"
    assert near("cnn", names) == ", did you mean CNN?"
    assert near("zzz", names) == ", choose one of: MLP_1Layer, MLP_2Layers, CNN"
    assert near("zzz", []) == ""
    assert join_or([1, 2, 5]) == "1, 2 or 5"
