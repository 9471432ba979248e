"""A hook that belongs to somebody: it neither keeps its owner alive nor follows into copies of the module."""

import weakref
from collections.abc import Callable
from typing import Any


class OwnedHook:
    """Calls a method of its owner, as long as that lives; in a copy of the module that it is on it does nothing.

    A module's copy has its hooks. One that is a method, or a function that knows its owner, would copy the owner too,
    or tell it what the copy does. An owner that is copied together with the module puts a hook of its own there, in
    its ``__setstate__``.

    Args:
        method: of the owner; called as ``method(*bound, module, inputs, ...)``. None: nothing is called.
        bound: its first arguments.
    """

    def __init__(self, method: Callable[..., None] | None = None, *bound: Any) -> None:
        self._method = None if method is None else weakref.WeakMethod(method)
        self._bound = bound

    def __call__(self, *passed: Any) -> None:
        """Call the method."""
        method = None if self._method is None else self._method()
        if method is not None:
            method(*self._bound, *passed)

    def __reduce__(self) -> tuple[type["OwnedHook"], tuple[()]]:
        """A copy belongs to nobody."""
        return OwnedHook, ()
