"""One row of the body of ``POST /analytics/ingest``."""

from __future__ import annotations

from typing import Final

from analytics.pushed.row import Count, Kind, Pushed, Text


class Row(Pushed, gc=False, kw_only=True):
    """One aggregated line of a proxy worker, as documented for the ingest body."""

    count: Count
    peer_id: Text = ""
    worker: Text = ""
    error_count: Count = 0


class _LooseRow(Row, gc=False, kw_only=True):
    ts: str  # type: ignore[assignment]  # a time only once it is parsed


TRAFFIC: Final = Kind(Row, _LooseRow)
