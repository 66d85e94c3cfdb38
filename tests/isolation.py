"""Loaded by pytest before Django's settings are read: each test process gets a data directory of its own.

The embedded engine allows one process per directory, so parallel test processes could not share one. On a server that
is named by ``CLICKHOUSE_URL`` each gets a database of its own.
"""

from __future__ import annotations

import os
import secrets
import tempfile

data_dir = tempfile.TemporaryDirectory(prefix="fonproxy-test-")
os.environ["FONPROXY_DATA_DIR"] = data_dir.name
if server := os.environ.get("CLICKHOUSE_URL"):
    os.environ["CLICKHOUSE_URL"] = f"{server.rstrip('/')}/fonproxy_{secrets.token_hex(6)}"
