"""A pytest plugin for runs of one mutant: they start on databases that are already migrated, and end with their parent.

Migrating both databases takes longer than most tests. ``MIGRATED_TEST_DATA`` names a data directory in which
``manage.py migrate`` and ``clickhouse_migrate`` have run; it is copied.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings

from fonproxy import sqlite
from tests.isolation import data_dir

template = Path(os.environ["MIGRATED_TEST_DATA"])
shutil.copytree(template, data_dir.name, symlinks=True, dirs_exist_ok=True)
Path(data_dir.name, "fonproxy.sqlite3").rename(Path(data_dir.name, "test.sqlite3"))

# A mutant that loops forever would sleep there, and use so little CPU time that it is found only after minutes.
sqlite.BUSY_SLEEP_SECONDS = 0.001  # type: ignore[misc]  # Final for everyone else

# A failure ends the run, so shrinking the example would waste time.
settings.register_profile(
    "mutants",
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
