"""The health check of the endpoint of ClickHouse in a container: creates the database, as the original image does."""

from __future__ import annotations

import os

from clickhouse_driver import Client

from tests.clickhouse_server import PASSWORD, REVISION

with Client("127.0.0.1", password=PASSWORD, compression="lz4", client_revision=REVISION) as client:
    client.execute(f"CREATE DATABASE IF NOT EXISTS {os.environ['CLICKHOUSE_DB']}")
