"""The one exception that a user is meant to read, and how any error becomes one line."""


class UserError(Exception):
    """Something the user gave is not usable. The message is one line: the thing, what was expected, what came."""


def one_line(error: BaseException | str) -> str:
    """An error's message, or a text, without line breaks and runs of blanks."""
    return " ".join(str(error).split())
