"""Loaded by pytest before Django's settings are read: each test process gets a data directory of its own.

The embedded engine allows one process per directory, so parallel test processes could not share one. On a server that
is named by ``CLICKHOUSE_URL`` each gets a database of its own.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile

data_dir = tempfile.TemporaryDirectory(prefix="fonproxy-test-")
os.environ["FONPROXY_DATA_DIR"] = data_dir.name
# Parallel processes must find the same tests, some of which are named after published ids.
os.environ["FONPROXY_ID_SALT"] = "tests"
if server := os.environ.get("CLICKHOUSE_URL"):
    # A parallel process inherits the one that its parent had chosen for itself.
    server = re.sub(r"(/fonproxy_[0-9a-f]{12})?/?$", "", server)
    os.environ["CLICKHOUSE_URL"] = f"{server}/fonproxy_{secrets.token_hex(6)}"
