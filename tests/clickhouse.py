"""A private ClickHouse endpoint for the duration of a test: the small server of ``tests.clickhouse_server``."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from tests.serving import ROOT, free_port


class Endpoint:
    """A process that can be killed, stopped and restarted on the same data."""

    def __init__(self, directory: Path, port: int = 0, shards: Sequence[int] = ()) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.shards = shards
        self.start()

    @property
    def url(self) -> str:
        return f"clickhouse://127.0.0.1:{self.port}"

    def start(self) -> Self:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.clickhouse_server", str(self.port), str(self.directory)),
                *map(str, self.shards),
            ],
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


@contextmanager
def running_cluster(shards: int = 2) -> Iterator[list[Endpoint]]:
    """One endpoint for each shard of the cluster `usage`; each accepts rows and queries for all."""
    ports = [free_port() for _ in range(shards)]
    with (
        tempfile.TemporaryDirectory(prefix="fonproxy-cluster-", ignore_cleanup_errors=True) as name,
        ExitStack() as stack,
    ):
        endpoints = []
        for port in ports:
            endpoints.append(Endpoint(Path(name, str(port)), port, ports))
            stack.callback(endpoints[-1].kill)
        yield endpoints


def old_server() -> str | None:
    """Debian's ClickHouse of 2018, if installed."""
    return shutil.which("clickhouse-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


CONFIG = """
<yandex>
    <logger><level>warning</level><log>{directory}/log</log><errorlog>{directory}/errors</errorlog></logger>
    <tcp_port>{port}</tcp_port><http_port>{http_port}</http_port><interserver_http_port>{peer_port}</interserver_http_port>
    <listen_host>127.0.0.1</listen_host>
    <path>{directory}/data/</path><tmp_path>{directory}/tmp/</tmp_path>
    <format_schema_path>{directory}/schemas/</format_schema_path>
    <users_config>{directory}/users.xml</users_config>
    <default_profile>default</default_profile><default_database>default</default_database>
    <mark_cache_size>67108864</mark_cache_size><timezone>UTC</timezone>
</yandex>
"""
USERS = """
<yandex>
    <profiles><default></default></profiles><quotas><default></default></quotas>
    <users><default>
        <password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
    </default></users>
</yandex>
"""


@contextmanager
def running_old_server(program: str) -> Iterator[int]:
    """Its port, once it listens."""
    with tempfile.TemporaryDirectory(prefix="fonproxy-clickhouse-", ignore_cleanup_errors=True) as directory:
        port = free_port()
        config = CONFIG.format(directory=directory, port=port, http_port=free_port(), peer_port=free_port())
        Path(directory, "config.xml").write_text(config)
        Path(directory, "users.xml").write_text(USERS)
        server = subprocess.Popen(
            [program, f"--config-file={directory}/config.xml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait_for(port, server)
            yield port
        finally:
            server.kill()
            server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert server.poll() is None, "ClickHouse ended while starting"
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("ClickHouse did not start")
