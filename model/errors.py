"""The one exception that a user is meant to read."""


class UserError(Exception):
    """Something the user gave is not usable. The message is one line: the thing, what was expected, what came."""
