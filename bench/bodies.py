"""Realistic bodies for ``POST /analytics/ingest``, the same for the same seed and time."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

DOMAINS: Final = 5_000
HOURS: Final = 4
ERROR_SHARE: Final = 0.03
ERRORS: Final = ("connect_timeout", "dns_failure", "tls_handshake", "refused", "reset")


@dataclass(frozen=True, slots=True)
class Owner:
    """An order and its owner."""

    order_id: int
    user_id: int


@dataclass(frozen=True, slots=True)
class PushBody:
    """A request body and its totals, for checking afterwards that it was counted."""

    content: bytes
    rows: int
    requests: int


def make_body(rows: int, owners: Sequence[Owner], now: datetime, seed: int) -> PushBody:
    """A few hours of traffic that end now: some orders and domains carry most of it, and a few rows are errors."""
    dice = random.Random(seed)
    names = [f"{'cdn' if i % 3 else 'www'}.site-{i}.example.{'com' if i % 2 else 'net'}" for i in range(DOMAINS)]
    domains = dice.choices(names, [1 / rank for rank in range(1, DOMAINS + 1)], k=rows)
    whose = dice.choices(owners, [1 / rank for rank in range(1, len(owners) + 1)], k=rows)
    logs = [_row(dice, owner, domain, now) for owner, domain in zip(whose, domains, strict=True)]
    return PushBody(json.dumps({"logs": logs}).encode(), rows, sum(row["count"] for row in logs))


def _row(dice: random.Random, owner: Owner, domain: str, now: datetime) -> dict[str, Any]:
    is_error = dice.random() < ERROR_SHARE
    return {
        "ts": (now - timedelta(seconds=dice.randrange(HOURS * 3600))).strftime("%Y-%m-%d %H:%M:%S"),
        "user_id": owner.user_id,
        "order_id": owner.order_id,
        "port": dice.choice((443, 443, 443, 80)),
        "protocol": dice.choice(("HTTPS", "HTTPS", "HTTP", "SOCKS5")),
        "ip_out": f"198.51.{dice.randrange(4)}.{dice.randrange(256)}",
        "ip_from": f"203.0.{dice.randrange(8)}.{dice.randrange(256)}",
        "peer_id": f"peer-{dice.randrange(2000):05}",
        "worker": f"worker-{dice.randrange(20):02}",
        "domain": domain,
        "error": dice.choice(ERRORS) if is_error else "",
        "count": dice.randrange(1, 60),
        "bytes_sent": dice.randrange(10**5),
        "bytes_received": dice.randrange(10**7),
        "error_count": int(is_error),
        "duration_ms": dice.randrange(60_000),
        "max_concurrency": dice.randrange(40),
    }


def as_log_body(body: bytes) -> bytes:
    """The same rows as if each were a single request, under the log's field names."""
    names = {
        "ts": "log_request_datetime",
        "user_id": "user_id",
        "order_id": "order_id",
        "port": "log_local_port",
        "ip_out": "log_egress_ip_address",
        "ip_from": "log_client_ip_address",
        "domain": "log_hostname",
        "error": "log_error",
        "bytes_sent": "log_bytes_sent",
        "bytes_received": "log_bytes_received",
        "duration_ms": "log_total_elapsed_ms",
        "max_concurrency": "log_concurrency",
    }
    extra = {"log_method": "GET", "log_status_code": 200, "log_protocol": "http"}
    rows = [{**extra, **{names[k]: v for k, v in row.items() if k in names}} for row in json.loads(body)["logs"]]
    return json.dumps({"logs": rows}).encode()
