"""A private Redis server, from Debian's package, for the length of a test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import pytest

from tests.serving import free_port

START_SECONDS = 10.0


class Redis:
    """A process that can be killed, stopped and started again; it keeps nothing on disk."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.start()

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def start(self) -> Self:
        program = shutil.which("redis-server")
        if program is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)("redis-server is not installed")
        self.process = subprocess.Popen(
            [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.directory)],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            time.sleep(0.05)
        raise AssertionError("Redis did not start")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def running() -> Iterator[Redis]:
    with tempfile.TemporaryDirectory(prefix="fonproxy-redis-") as name:
        server = Redis(Path(name))
        try:
            yield server
        finally:
            server.kill()
