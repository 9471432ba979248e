"""An installed copy holds what the checkout holds, and needs the same whatever installs it."""

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent


def test_every_folder_with_code_is_a_listed_package() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    files = [file for room in ("cl_sparse", "benchmarks") for file in (ROOT / room).rglob("*.py")]
    packages = {".".join(file.parent.relative_to(ROOT).parts) for file in files}
    assert set(setuptools["packages"]) == packages | {"cl_sparse.exps"}
    assert setuptools["package-dir"] == {"cl_sparse.exps": "exps"}


def test_conda_installs_the_requirements_and_a_python_that_will_do() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    python, pip, from_pip = environment["dependencies"]
    assert environment["name"] == "sparse_syn"
    assert python == "python=" + project["requires-python"].removeprefix(">=")
    assert pip == "pip"
    assert from_pip == {"pip": ["-r requirements.txt"]}
