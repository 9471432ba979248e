"""A config from before a parameter existed is the config with that parameter's default."""

import pytest
from pydantic import Field

from cl_sparse.config import build_config
from cl_sparse.config.identity import differing, short_hash, with_defaults, without_defaults
from cl_sparse.config.methods import Arguments
from cl_sparse.config.registry import PLUGINS, Method

NOW = build_config("X", {"lr": 0.2, "plugins": [{"name": "replay", "mem_size": 7}]}).model_dump()
EARLIER = {"name": "X", "lr": 0.2, "plugins": [{"name": "replay", "mem_size": 7}], "seed": 3, "seeds": 9}


def test_what_is_not_said_is_the_default() -> None:
    assert with_defaults(EARLIER)["mb_size"] == NOW["mb_size"]
    assert with_defaults(EARLIER)["plugins"] == NOW["plugins"]
    assert differing(EARLIER, NOW) == differing(NOW, EARLIER) == []
    assert short_hash(EARLIER) == short_hash(NOW)


def test_only_what_is_said_beyond_the_defaults_is_left() -> None:
    said = without_defaults(NOW)
    assert said == {"name": "X", "lr": 0.2, "plugins": [{"name": "replay", "mem_size": 7}]}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"lr": 0.1}, "lr"),
        ({"name": "Y"}, "name"),
        ({"plugins": []}, "plugins"),
        ({"plugins": [{"name": "replay", "mem_size": 7, "batch_size_mem": 2}]}, "plugins"),
        ({"gone": 1}, "gone"),
    ],
)
def test_what_differs_is_named(change: dict, key: str) -> None:
    assert differing(EARLIER | change, NOW) == [key]
    assert short_hash(EARLIER | change) != short_hash(NOW)


def test_a_new_argument_of_a_plugin_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = short_hash(NOW)

    class More(Arguments):
        mem_size: int = Field(500, description="As before.")
        batch_size_mem: int | None = Field(None, description="As before.")
        fresh: float = Field(0.5, description="New.")

    monkeypatch.setitem(PLUGINS, "replay", Method("nowhere:Replay", More))
    later = build_config("X", {"lr": 0.2, "plugins": [{"name": "replay", "mem_size": 7}]}).model_dump()
    assert later["plugins"][0]["fresh"] == 0.5
    assert differing(NOW, later) == []
    assert short_hash(later) == before


@pytest.mark.parametrize("plugins", [None, 3, [3], [{}], [{"name": []}], [{"name": "gone", "x": 1}]])
def test_a_stored_config_may_hold_anything(plugins: object) -> None:
    assert with_defaults({"plugins": plugins})["plugins"] == plugins
    assert differing({"name": "X", "plugins": plugins}, NOW) == ["lr", "plugins"]
    assert len(short_hash({"plugins": plugins})) == 8
