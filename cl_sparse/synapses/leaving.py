"""What a mechanism leaves alone, by shell patterns of names: each has to match something, or a slip would go unseen."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from cl_sparse.config.wording import near


def is_left(name: str, leave: Sequence[str]) -> bool:
    """Return whether a pattern matches the name."""
    return any(fnmatchcase(name, pattern) for pattern in leave)


def left_alone(names: Iterable[str], leave: Sequence[str]) -> set[str]:
    """Return the names that a pattern matches.

    Raises:
        ValueError: a pattern matches none.
    """
    known, left = list(names), set[str]()
    for pattern in leave:
        matched = {name for name in known if fnmatchcase(name, pattern)}
        if not matched:
            raise ValueError(f"leave: nothing is called {pattern!r}{near(pattern, known)}")
        left |= matched
    return left
