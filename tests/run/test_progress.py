"""What the progress display says, and how its bars move."""

import io

import pytest
from rich.console import Console

from cl_sparse.run.progress import RunProgress, resumed_line


@pytest.mark.parametrize("same_code", [True, False])
def test_a_resumed_run_says_when_other_code_began_it(same_code):
    line = resumed_line("net seed 0", 2, same_code=same_code)
    assert line.startswith("net seed 0: 2 tasks are done")
    assert ("by other code" in line) is not same_code


@pytest.fixture
def progress():
    out = io.StringIO()
    with RunProgress(Console(file=out, width=200, force_terminal=True), False, 3, lambda _: None) as made:
        yield made


def bars(progress: RunProgress) -> dict[str, tuple[float, float]]:
    return {task.description: (task.completed, task.total) for task in progress.bars.tasks}


def test_trials_under_way_have_a_bar_each_and_one_for_all(progress):
    one, other = progress.watch("net seed 0"), progress.watch("net seed 1")
    one.begin(10)
    other.begin(100)
    one.advance(5)
    other.advance(25)
    assert bars(progress) == {"all 3 runs": (0.75, 3), "net seed 0": (5, 10), "net seed 1": (25, 100)}
    one.end()
    assert bars(progress) == {"all 3 runs": (1.25, 3), "net seed 1": (25, 100)}
    other.begin(100)  # a second try
    other.advance(100)
    other.end()
    progress.watch("net seed 2").end()  # it failed before it began
    assert bars(progress) == {"all 3 runs": (3, 3)}
