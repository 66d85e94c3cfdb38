"""Copying and restoring both stores, for ``manage.py backup`` and ``manage.py restore``."""


class BackupError(Exception):
    """A backup cannot be made or restored; the message gives the reason."""
