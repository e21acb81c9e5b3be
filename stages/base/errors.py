"""The one exception that a user is meant to read."""


class UserError(Exception):
    """A mistake that the user can mend: one line saying what was expected, what came, and where."""
