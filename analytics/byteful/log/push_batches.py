"""Small pushes to ``/log/ingest``, stored together."""

from __future__ import annotations

from typing import Final

from analytics.byteful.log.ingest_columns import to_lists
from analytics.byteful.log.ingest_row import LOG
from analytics.ingest.push_batches import PushBatches
from analytics.models import IngestBatch

accept: Final = PushBatches(IngestBatch.Route.LOG, LOG, "requests", to_lists).accept
