"""Loaded by pytest before Django's settings are read: each test process gets a data directory of its own.

The embedded engine allows one process per directory, so parallel test processes could not share one. On a server named
by ``CLICKHOUSE_URL`` each process gets a database of its own.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from pathlib import Path

# Writing the engine's small files to disk takes a tenth to a third of the suite's CPU time; in memory it costs nearly
# nothing. No test here is about the disk itself, and memory also keeps what a killed process has written.
MEMORY = Path("/dev/shm")  # only the place; the names in it are made by tempfile
ENOUGH_BYTES = 3 * 2**30

if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH_BYTES:
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

data_dir = tempfile.TemporaryDirectory(prefix="fonproxy-test-")
os.environ["FONPROXY_DATA_DIR"] = data_dir.name
# Parallel processes must find the same tests, some of which are named after published ids.
os.environ["FONPROXY_ID_SALT"] = "tests"
# Tests of the second factor enable it themselves.
os.environ["FONPROXY_STAFF_SECOND_FACTOR"] = "false"
os.environ["FONPROXY_GEO_DUMMY"] = "true"
if server := os.environ.get("CLICKHOUSE_URL"):
    # A parallel process inherits the one that its parent had chosen for itself.
    server = re.sub(r"(/fonproxy_[0-9a-f]{12})?/?$", "", server)
    os.environ["CLICKHOUSE_URL"] = f"{server}/fonproxy_{secrets.token_hex(6)}"
