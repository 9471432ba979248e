from collections.abc import Callable

import pytest

from tests.result_examples import finished


@pytest.fixture
def result() -> Callable[..., tuple[dict, dict]]:
    """Build ``(config, stats)`` of a run that never was."""
    return finished
