"""A ClickHouse endpoint of one's own for the length of a test: the small server of ``tests.clickhouse_server``."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.serving import ROOT, free_port


class Endpoint:
    """A process that can be killed, stopped and started again on the same data."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"clickhouse://127.0.0.1:{self.port}"

    def start(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.clickhouse_server", str(self.port), str(self.directory)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"listening\n"
        return self

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def running() -> Iterator[Endpoint]:
    with tempfile.TemporaryDirectory(prefix="fonproxy-clickhouse-", ignore_cleanup_errors=True) as name:
        endpoint = Endpoint(Path(name, "data"))
        try:
            yield endpoint
        finally:
            endpoint.kill()
