"""How messages about bad input are worded: near names, choices, and what a value should have been."""

import difflib
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

_KINDS: dict[type, str] = {
    type(None): "nothing (null)",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}
_NEEDED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
}


def join_or(words: Iterable[object]) -> str:
    """Return ``"a"``, ``"a or b"``, ``"a, b or c"``; at least one word."""
    *first, last = [str(word) for word in words]
    return f"{', '.join(first)} or {last}" if first else last


def near(name: object, known: Iterable[str]) -> str:
    """Return ``", did you mean a or b?"`` for the names closest to ``name``; if none is, all (up to a dozen)."""
    names = list(known)
    folded = {candidate.lower(): candidate for candidate in names}
    wanted = str(name).lower() if isinstance(name, str) else ""
    close = difflib.get_close_matches(wanted, folded, n=3, cutoff=0.6)
    if not close and len(wanted) >= 3:
        close = [candidate for candidate in folded if wanted in candidate][:3]
    if close:
        return f", did you mean {join_or(folded[match] for match in close)}?"
    return f", choose one of: {', '.join(names)}" if 0 < len(names) <= 12 else ""


def explain(error: Mapping[str, Any]) -> str:
    """Return one line on what is wrong with a value, from one item of ``pydantic.ValidationError.errors()``."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"{shortened(value)} is out of range: {words} {context[bound]:.10g}"
    if kind == "literal_error":
        return f"{shortened(value)} is not one of {context['expected']}"
    if kind == "finite_number":
        return f"{shortened(value)}: a finite number is needed"
    if kind in _NEEDED:
        return f"{_shown(value)}: {_NEEDED[kind]} is needed"
    if kind == "missing":
        return "is missing"
    return str(error["msg"])


def _shown(value: object) -> str:
    kind = _KINDS.get(type(value), type(value).__name__)
    if value is None or isinstance(value, bool):
        return kind if value is None else str(value).lower()
    return f"{shortened(value)} is {kind}"


class _Short(reprlib.Repr):
    """Looks at no more of a value than it shows: one may refer to itself, or to one list a billion times."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlong = self.maxother = self.maxstring = 60
        self.maxlist = self.maxdict = 4
        self.maxlevel = 3

    def repr_int(self, x: int, level: int) -> str:
        """Python itself writes no number of thousands of digits."""
        return super().repr_int(x, level) if x.bit_length() < 10_000 else f"a number of {x.bit_length()} binary digits"


def shortened(value: object) -> str:
    """Return at most some 60 characters, on one line, that show what a value is."""
    text = " ".join(_SHORT.repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


_SHORT = _Short()
