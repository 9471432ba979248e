"""The examples of docs/how_it_is_built.md and docs/avalanche.md run, and what is said of the tree is true."""

import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "how_it_is_built.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"## Add an? (\w+)\n.*?```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize(("what", "code"), EXAMPLES, ids=[what for what, _ in EXAMPLES])
def test_examples_run(what: str, code: str) -> None:
    exec(compile(code, f"how_it_is_built.md: {what}", "exec"), {"__name__": what})


def test_the_example_beside_avalanche_runs() -> None:
    text = (ROOT / "docs" / "avalanche.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(code, "avalanche.md", "exec"), {"__name__": "avalanche"})


def test_nothing_is_missing() -> None:
    assert {what for what, _ in EXAMPLES} == {"mechanism", "benchmark", "layer", "strategy"}
    rooms = {path.name for path in (ROOT / "cl_sparse").iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(re.findall(r"^    (\w+)/  ", TEXT, re.MULTILINE))
