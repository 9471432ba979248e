"""What the progress display says."""

import io

import pytest
from rich.console import Console

from cl_sparse.run.progress import RunProgress


@pytest.mark.parametrize("same_code", [True, False])
def test_a_resumed_run_says_when_other_code_began_it(same_code):
    out = io.StringIO()
    with RunProgress(Console(file=out, width=200), quiet=False) as progress:
        progress.begin("net seed 0", 10)
        progress.resumed(2, 4, same_code)
    assert "net seed 0: 2 tasks are done" in out.getvalue()
    assert ("by other code" in out.getvalue()) is not same_code
