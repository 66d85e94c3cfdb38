"""One process that opens the engine in a directory, does one thing and ends: the one that is killed.

    python -m tests.crash.child DIRECTORY setup
    python -m tests.crash.child DIRECTORY insert SPREAD
    python -m tests.crash.child DIRECTORY retry SPREAD [--no-repair]
    python -m tests.crash.child DIRECTORY persist SPREAD

``retry`` inserts the same batch under the same token, twice, and prints what every table holds as JSON.
``persist`` does so too, in the process whose first attempt failed. With the port of a ZooKeeper in the environment, as
``tests.keeper`` names it, the tables are replicated ones.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
from django.conf import settings

from fonproxy.clickhouse import migrator, repair, retention
from fonproxy.clickhouse.embedded import EmbeddedClient
from fonproxy.clickhouse.errors import EngineUnavailable
from tests import keeper
from tests.fonproxy.clickhouse.batches import batch, found, inbox_of, requests

MEMORY: Final = 2**31
SPREADS: Final = {
    "retention": timedelta(days=395),
    "bucket": timedelta(0),
    "two_months": timedelta(days=20),
    "requests": timedelta(days=6),  # one by one, and each day is a partition
}


def earlier() -> pa.Table:
    """Rows from before, in the same partitions."""
    return batch(30, over=timedelta(days=30), count=1)


def disputed(spread: str) -> pa.Table:
    """The batch during whose insert the process dies."""
    make = requests if spread == "requests" else batch
    return make(45, over=SPREADS[spread])


class ReplicatedClient(EmbeddedClient):
    """An embedded engine with replicated tables and a ZooKeeper."""

    def _start(self) -> None:
        settings.CLICKHOUSE_REPLICATED = True
        keeper.give_an_address()
        config = self._path.with_name("zookeeper.xml")
        config.write_text(f"<clickhouse>{keeper.config(self._path)}</clickhouse>")
        self._url += f"&config-file={config}"
        super()._start()

    def close(self) -> None:
        """Ends the process: chDB hangs when its last connection closes while it talks to a ZooKeeper."""
        sys.stdout.flush()
        os._exit(0)


def insert(client: EmbeddedClient, table: pa.Table) -> None:
    client.insert(inbox_of(table), table, token="disputed")


def main(directory: Path, action: str, spread: str = "", *flags: str) -> None:
    if "--no-repair" in flags:
        repair.repair = lambda path: 0
    client = (ReplicatedClient if keeper.config(directory) else EmbeddedClient)(directory, MEMORY)
    if action == "setup":
        _setup(client)
    elif action == "persist":
        _persist(client, spread)
    else:
        insert(client, disputed(spread))
    if action in ("retry", "persist"):
        insert(client, disputed(spread))
        print(json.dumps(found(client)))  # noqa: T201
    client.close()


def _persist(client: EmbeddedClient, spread: str) -> None:
    """Inserts until it succeeds; it must fail once, and readers must continue."""
    try:
        insert(client, disputed(spread))
    except EngineUnavailable as error:
        sys.stderr.write(f"refused: {error}\n")
        found(client)
        insert(client, disputed(spread))


def _setup(client: EmbeddedClient) -> None:
    migrator.migrate(client)
    # The batches have fixed times, so that every process makes the same ones; they must not expire.
    for table, kept in retention.declared().items():
        if kept.ttl:
            client.command(f"ALTER TABLE {table} REMOVE TTL", tag="crash")
    client.insert("inbox", earlier(), token="earlier")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
