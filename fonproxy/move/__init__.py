"""Moving both stores to other kinds of stores, for ``manage.py move``."""


class MoveError(Exception):
    """The move cannot start or continue; the message gives the reason and the remedy."""
