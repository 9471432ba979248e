"""An installed copy holds what the checkout holds."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_folder_with_code_is_a_listed_package() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    files = [file for room in ("cl_sparse", "benchmarks") for file in (ROOT / room).rglob("*.py")]
    packages = {".".join(file.parent.relative_to(ROOT).parts) for file in files}
    assert set(setuptools["packages"]) == packages | {"cl_sparse.exps"}
    assert setuptools["package-dir"] == {"cl_sparse.exps": "exps"}
