"""The one exception that means: the user's input was wrong."""


class UserError(Exception):
    """Bad input. The message is one line that names the file, the key and what would be right.

    The command line prints it without a traceback and exits with code 2.
    """
