"""The exceptions that mean: the user's input was wrong."""


class UserError(Exception):
    """Bad input. The message is one line that names the file, the key and what would be right.

    The command line prints it without a traceback and exits with code 2. What a file or a command line put into it is
    shown as Python writes it where it is no printable character: a key may hold line breaks, or what a terminal obeys.
    """

    def __init__(self, message: str) -> None:
        """Keep the message on one line."""
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in message))


class SettingError(UserError):
    """A parameter of an experiment that does not fit the data; ``key`` is its name.

    Who knows where the experiment comes from names the place beside it.
    """

    def __init__(self, key: str, problem: str) -> None:
        """Blame ``key``; ``problem`` is one line."""
        super().__init__(f"{key}: {problem}")
        self.key, self.problem = key, problem
