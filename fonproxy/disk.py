"""Flushing files to disk before they are renamed into place."""

from __future__ import annotations

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Flushes a file's content, or a directory's entries."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
