"""The test suite on a ClickHouse server that exists: ``python -m tests.acceptance URL [pytest arguments]``.

``make acceptance CLICKHOUSE_URL=clickhouse://user:password@host:9000`` calls it. The user has to be allowed to create
and drop databases. Each test process makes databases named ``fonproxy_`` and a random number; those that appeared
during the run are dropped at the end, also when it is interrupted. No other database is touched.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import clickhouse_driver

from tests.serving import ROOT

OURS = re.compile(r"fonproxy_[0-9a-f]{12}(_\w+)?")


def main(url: str, *arguments: str) -> int:
    with _connected(url) as client:
        [(version, replicas)] = client.execute(
            "SELECT version(), (SELECT count() FROM system.macros WHERE macro IN ('shard', 'replica'))"
        )
        macros = "with" if replicas == 2 else "without"
        sys.stdout.write(f"ClickHouse {version}, {macros} the macros of replicated tables\n")
        sys.stdout.flush()
        before = _databases(client)
    try:
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(command, cwd=ROOT, env={**os.environ, "CLICKHOUSE_URL": url}, check=False).returncode
    finally:
        with _connected(url) as client:
            for name in sorted(_databases(client) - before):
                client.execute(f"DROP DATABASE IF EXISTS {name} SYNC")


def _databases(client: clickhouse_driver.Client) -> set[str]:
    return {name for (name,) in client.execute("SELECT name FROM system.databases") if OURS.fullmatch(name)}


@contextmanager
def _connected(url: str) -> Iterator[clickhouse_driver.Client]:
    """A connection to the first host of a ``CLICKHOUSE_URL``."""
    from fonproxy.clickhouse.address import Address

    address = Address.parse(url)
    (host, port), *_ = address.hosts
    client = clickhouse_driver.Client(
        host,
        port,
        user=address.user,
        password=address.password,
        secure=address.is_secure,
        compression="lz4",
        client_revision=54460,
    )
    try:
        yield client
    finally:
        client.disconnect()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
