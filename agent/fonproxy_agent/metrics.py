"""A metrics file for the textfile collector of Prometheus' node exporter, one per command."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fonproxy_agent import atomic

WRITE_SECONDS: Final = 10.0


class MetricsFile:
    """Written at most every ten seconds. Does nothing without a directory."""

    def __init__(self, directory: str, command: str) -> None:
        self._command = command
        self._path = Path(directory) / f"fonproxy_agent_{command}.prom" if directory else None
        self._written = float("-inf")

    def write(self, values: Mapping[str, float], *, at_once: bool = False) -> None:
        """Values by name without prefix; labels may follow the name in braces, such as ``left_out{reason="x"}``."""
        now = time.monotonic()
        if self._path is None or (now - self._written < WRITE_SECONDS and not at_once):
            return
        self._written = now
        lines = [f"fonproxy_agent_{self._labelled(name)} {value:.10g}\n" for name, value in values.items()]
        atomic.replace(self._path, "".join(lines).encode(), 0o644)

    def _labelled(self, name: str) -> str:
        plain, brace, labels = name.partition("{")
        own = f'{plain}{{command="{self._command}"'
        return f"{own},{labels}" if brace else own + "}"
