from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cl_sparse.report.__main__ import main
from cl_sparse.results import save_result
from tests.result_examples import WHEN, finished


@pytest.fixture
def result() -> Callable[..., tuple[dict, dict]]:
    """Build ``(config, stats)`` of a run that never was."""
    return finished


@pytest.fixture
def study_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict, list], str]:
    """Publish results in an empty folder, and return the page that shows all parts of a study of them."""

    def page_of(parts: dict[str, Any], results: list[tuple[dict, dict]]) -> str:
        monkeypatch.chdir(tmp_path)
        Path("study.yaml").write_text(yaml.safe_dump(parts, sort_keys=False))
        paths = [str(save_result(tmp_path / "results", "m", i, *one, WHEN)) for i, one in enumerate(results)]
        assert main(["--publish", *paths]) == 0
        blocks = (f"<!-- results:begin study study.yaml {part} -->\n<!-- results:end -->\n" for part in parts)
        page = Path("page.md")
        page.write_text("".join(blocks))
        assert main([str(page)]) == 0
        assert main(["--check", str(page)]) == 0
        return page.read_text()

    return page_of
