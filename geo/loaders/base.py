"""What a loader is."""

from __future__ import annotations

from typing import Protocol

Counts = dict[str, dict[str, dict[str, int]]]
"""pool -> geo service -> country -> how many proxies."""


class LoaderFailed(Exception):
    """The counts could not be had; the text says why, without addresses or secrets."""


class Loader(Protocol):
    def load(self) -> Counts:
        """The raw counts as they are now. Raises LoaderFailed; takes at most about ten seconds."""
