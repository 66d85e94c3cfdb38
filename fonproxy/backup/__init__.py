"""Copies of both stores and their way back; ``manage.py backup`` and ``manage.py restore`` put them in order."""


class BackupError(Exception):
    """A backup cannot be made or restored; the sentence says why."""
