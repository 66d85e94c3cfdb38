"""Everything an earlier version left, in both stores and between them, is still there after an upgrade."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engines import embedded_only
from tests.serving import ROOT, environment

pytestmark = [pytest.mark.processes, embedded_only]

# The version whose schemas ended with these, and which wrote fewer columns.
EARLIER = """
import json, django
django.setup()
from datetime import UTC, datetime, timedelta
from django.core.management import call_command
from django.utils import timezone
call_command("migrate", verbosity=0)
from fonproxy.clickhouse import migrator, retention
from fonproxy.clickhouse.client import close_client, get_client
files = migrator.migrations
migrator.migrations = lambda directory=None: [file for file in files() if file.name < "0004"]
declared = retention.declared
later = ("daily_host_times", "unlogged_traffic", "events", "login_traffic", "late_traffic")
retention.declared = lambda: {name: kept for name, kept in declared().items() if name not in later}
migrator.migrate(get_client())
from analytics.ingest import journal
from analytics.byteful.log.ingest_columns import to_request_inbox
from analytics.models import IngestBatch
from analytics.traffic.ingest_columns import to_inbox
from demo.accounts import make_accounts
retention.declared = declared
now = timezone.now()
make_accounts(now)
ts = (now - timedelta(hours=30)).isoformat()
line = {"ts": ts, "proxy_user": "alice", "count": 3, "domain": "old.example", "bytes_sent": 1, "bytes_received": 9}
request = {"log_request_datetime": ts, "proxy_user_id": "alice", "log_hostname": "old.example"}
def pushed(make, row):
    table = make(json.dumps({"logs": [row]}).encode(), now)
    return table.select([name for name in table.column_names if name not in ("taken_at", "unlogged")])
get_client().insert("inbox", pushed(to_inbox, line), token="a")
get_client().insert("request_inbox", pushed(to_request_inbox, request), token="b")
routes = ((IngestBatch.Route.TRAFFIC, to_inbox, line), (IngestBatch.Route.LOG, to_request_inbox, request))
for route, make, row in routes:
    batch, _ = journal.record(journal.BatchOrigin(None, route), pushed(make, row), now=now, claimed=False)
# One of them was on its way when the process died: its rows are there, and it is not known.
group, _ = journal.form_block([batch.pk], now)
get_client().insert("request_inbox", pushed(make, row), token=str(group.id))
close_client()
"""
NOW = """
import json, django
django.setup()
from django.core.management import call_command
from django.utils import timezone
call_command("migrate", verbosity=0)
from accounts.models import User
from analytics.byteful.graph.queries import Filters
from analytics.byteful.graph.reads import GraphReader
from analytics.byteful.graph.sources import GraphInterval, GraphRequest
from analytics.byteful.summary import reads
from analytics.ingest.flusher import recover
from datetime import timedelta
from fonproxy.api.search import Search
from fonproxy.api.errors import OutOfRange
from fonproxy.clickhouse import migrator
from fonproxy.clickhouse.client import close_client, get_client
applied = migrator.migrate(get_client())
recover()
recover()
now = timezone.now()
alice = User.objects.get(username="alice").pk
found = {
    table: list(get_client().fetch(f"SELECT sum(rows), sum(count) FROM {table}", tag="tests")[0])
    for table in ("traffic", "order_traffic", "daily_host", "daily_network", "traffic_detail", "requests")
}
rows, total = reads.search(alice, Search((), None, is_descending=True, page=1, per_page=9), now)
since = (now - timedelta(hours=31)).replace(second=0, microsecond=0)
asked = GraphRequest(since, since + timedelta(hours=2), GraphInterval.MINUTE)
try:
    minutes = GraphReader(Filters(alice), now).graph(asked, with_concurrency=False)["summary"]
except OutOfRange:
    minutes = "refused"
differences = migrator.differences(get_client())
close_client()
told = {"applied": applied, "found": found, "summaries": rows, "minutes": minutes, "differs": differences}
print(json.dumps(told, default=str))
"""


def test_rows_of_an_earlier_version_are_there_once_wherever_they_were(tmp_path: Path) -> None:
    _run(EARLIER, tmp_path)
    now: dict[str, Any] = json.loads(_run(NOW, tmp_path))
    assert now["applied"] == ["0004_summaries", "0005_events", "0006_billing", "0007_event_projections"]
    assert now["differs"] == []
    # Two lines of three requests and two single ones; the log has the latter.
    assert now["found"] == {table: [4, 8] for table in now["found"]} | {"requests": [2, 2]}
    [summary] = now["summaries"]
    assert (summary["log_summary_hostname"], summary["log_summary_requests"]) == ("old.example", 8)
    # Nobody knows how the earlier rows were pushed: a chart by the minute is refused, as it might leave them out.
    assert now["minutes"] == "refused"


def _run(program: str, directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment(directory), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
