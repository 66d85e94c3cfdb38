"""Loaded by pytest before Django's settings are read: each test process gets a data directory of its own.

The embedded engine allows one process per directory, so parallel test processes could not share one.
"""

from __future__ import annotations

import os
import tempfile

data_dir = tempfile.TemporaryDirectory(prefix="fonproxy-test-")
os.environ["FONPROXY_DATA_DIR"] = data_dir.name
