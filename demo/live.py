"""The rows that the demo's gateways report between two instants. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from demo import requests
from demo.traffic import rows
from fonproxy.timerange import GRAIN, STAMP, floor


class Reports(NamedTuple):
    """Rows for ``/analytics/ingest``, and single requests for ``/log/ingest``."""

    rows: list[dict[str, Any]]
    requests: list[dict[str, Any]]


def reports(start: datetime, end: datetime) -> Reports:
    """Everything with a time in ``[start, end)``; consecutive calls give the same rows as seeding that time."""
    first, last = f"{start:{STAMP}}", f"{end:{STAMP}}"
    found = Reports([], [])
    for row in rows(floor(start, GRAIN), end):
        if row["proxy_user"] in requests.LOGINS:
            single = requests.requests(row)
            found.requests.extend(one for one in single if first <= one["log_request_datetime"] < last)
        elif first <= row["ts"] < last:
            found.rows.append(row)
    return found
