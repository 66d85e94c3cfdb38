"""``import_history`` beside a running server: the rows reach the journal, and the server counts them once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.serving import Server, manage, row
from tests.waiting import wait_for

YEARS_AGO = datetime.now(UTC) - timedelta(days=800)


@pytest.mark.processes
def test_history_is_imported_beside_a_running_server_and_counted_once(server: Server, tmp_path: Path) -> None:
    def requests() -> int:
        answer = server.get("/api/v1/usage?period=all")
        assert answer.status == 200, answer.body
        return int(answer.json["data"]["total"]["requests"])

    before = requests()
    file = tmp_path / "history"
    old = row(ts=f"{YEARS_AGO:%Y-%m-%d %H:%M:%S}")
    file.write_text("".join(f"{json.dumps(old)}\n" for _ in range(3)))
    ended = manage(server.data_dir, "import_history", str(file))
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False), ended.stderr
    assert "3 rows imported, 0 had already been imported." in ended.stdout
    wait_for(lambda: requests() == before + 3)
    again = manage(server.data_dir, "import_history", str(file))
    assert "0 rows imported, 3 had already been imported." in again.stdout
    server.wait_until_readable()
    assert requests() == before + 3
