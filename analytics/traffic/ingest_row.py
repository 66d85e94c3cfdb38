"""One row of the body of ``POST /analytics/ingest``."""

from __future__ import annotations

from typing import Final

from analytics.ingest.schema import Count, IngestRow, RowSchema, Text


class TrafficRow(IngestRow, gc=False, kw_only=True):
    """An aggregated row of a gateway."""

    count: Count
    peer_id: Text = ""
    worker: Text = ""
    error_count: Count = 0


TRAFFIC: Final = RowSchema(TrafficRow)
