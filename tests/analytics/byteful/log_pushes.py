"""Bodies for ``POST /log/ingest``."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.utils import timezone

TIME = "log_request_datetime"


def request(**changes: Any) -> dict[str, Any]:
    at = timezone.now() - timedelta(hours=3)
    return {TIME: at.isoformat(), "user_id": 1, "order_id": 3, "log_hostname": "shop.example", **changes}


def body_of(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"logs": rows}).encode()
