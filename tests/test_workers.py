"""What holds in each process that runs tests, one of several or the only one."""

import subprocess
import sys
import warnings

import pytest
import torch

from tests.spread import SPREAD

spread = pytest.mark.skipif(not SPREAD, reason="the tests run in one process")


def test_a_warning_is_an_error() -> None:
    with pytest.raises(UserWarning, match="anything"):
        warnings.warn("anything", stacklevel=1)


@spread
def test_workers_and_their_commands_take_one_thread() -> None:
    assert torch.get_num_threads() == 1
    command = [sys.executable, "-c", "import torch; print(torch.get_num_threads())"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "1"


@spread
def test_a_worker_may_take_more_threads() -> None:
    try:
        torch.set_num_threads(2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
