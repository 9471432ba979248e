"""The exceptions that mean: the user's input was wrong."""

import re


def one_line(text: str) -> str:
    """Return text on one line, of printable characters alone: line breaks become blanks, others what Python writes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in re.sub(r" *[^\S ]\s*", " ", text))


class UserError(Exception):
    """Bad input. The message is one line that names the file, the key and what would be right.

    The command line prints it without a traceback and exits with code 2. A file or a library may have put anything
    into it: line breaks become blanks, and what else is not printable, as what a terminal obeys, is shown as Python
    writes it.
    """

    def __init__(self, message: str) -> None:
        """Keep the message on one line."""
        super().__init__(one_line(message))


class SettingError(UserError):
    """A parameter of an experiment that does not fit the data; ``key`` is its name.

    Who knows where the experiment comes from names the place beside it.
    """

    def __init__(self, key: str, problem: str) -> None:
        """Blame ``key``; ``problem`` is one line."""
        super().__init__(f"{key}: {problem}")
        self.key, self.problem = key, problem

    def __reduce__(self) -> tuple[type["SettingError"], tuple[str, str]]:
        """Be made anew from both in another process."""
        return type(self), (self.key, self.problem)
