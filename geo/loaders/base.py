"""The interface of a loader."""

from __future__ import annotations

from typing import Protocol

Counts = dict[str, dict[str, dict[str, int]]]
"""pool -> geo service -> country -> number of proxies."""


class LoaderFailed(Exception):
    """Loading failed; the text gives the reason, without addresses or secrets."""


class Loader(Protocol):
    def load(self) -> Counts:
        """The current raw counts. Raises LoaderFailed; takes at most about ten seconds."""
