"""Small pushes to ``/analytics/ingest``, stored together."""

from __future__ import annotations

from typing import Final

from analytics.ingest import lists
from analytics.ingest.push_batches import PushBatches
from analytics.models import IngestBatch
from analytics.traffic.ingest_row import TRAFFIC

accept: Final = PushBatches(IngestBatch.Route.TRAFFIC, TRAFFIC, "traffic", lists.to_lists).accept
