"""Moving both stores to other kinds of stores, for ``manage.py move``."""


class MoveError(Exception):
    """The move cannot begin or continue; the message says why and what to do."""
