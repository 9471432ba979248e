"""The exceptions that mean: the user's input was wrong."""


class UserError(Exception):
    """Bad input. The message is one line that names the file, the key and what would be right.

    The command line prints it without a traceback and exits with code 2.
    """


class SettingError(UserError):
    """A parameter of an experiment that does not fit the data; ``key`` is its name.

    Who knows where the experiment comes from names the place beside it.
    """

    def __init__(self, key: str, problem: str) -> None:
        """Blame ``key``; ``problem`` is one line."""
        super().__init__(f"{key}: {problem}")
        self.key, self.problem = key, problem
