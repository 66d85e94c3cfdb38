"""A day of single requests beside the traffic, as a worker reports those it does not add up. Pure, and repeatable."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from fonproxy.timerange import STAMP
from usage.demo.traffic import DOMAINS, ERRORS

HOUR: Final = timedelta(hours=1)
LOGIN: Final = "alice"
WORKER_ADDRESS: Final = "192.0.2.10"
AN_HOUR: Final = 40
# Country, city and network of an exit, and how often.
_EXITS: Final = (("us", "dallas", 7018, 5), ("de", "berlin", 3320, 3), ("gb", "leeds", 2856, 2))
_STATUSES: Final = ((200, 880), (301, 40), (403, 30), (404, 30), (429, 12), (503, 8))
_FAILED: Final = 0.04


def requests(since: datetime, until: datetime) -> Iterator[dict[str, Any]]:
    """Rows of the log's ingest body for the whole hours between, oldest first."""
    hour = since
    while hour < until:
        dice = Random(f"requests {hour:%Y-%m-%dT%H}")  # noqa: S311  # a demo, not a secret
        for second in sorted(dice.randrange(3600) for _ in range(AN_HOUR)):
            yield _request(hour + timedelta(seconds=second), dice)
        hour += HOUR


def _request(at: datetime, dice: Random) -> dict[str, Any]:
    [(country, city, asn, _)] = dice.choices(_EXITS, [weight for *_, weight in _EXITS])
    row = {
        "log_request_datetime": f"{at:{STAMP}}",
        "proxy_user_id": LOGIN,
        "log_protocol": "http",
        "log_method": dice.choices(("GET", "POST", "CONNECT"), (70, 12, 18))[0],
        "log_hostname": dice.choice(DOMAINS[:30]),
        "log_session_id": f"s-{dice.randrange(400):03}",
        "log_bytes_sent": dice.randrange(400, 2500),
        "log_concurrency": dice.randrange(1, 9),
        "log_authentication_type": "password",
        "log_client_ip_address": f"198.51.100.{dice.randrange(1, 20)}",
        "log_egress_ip_address": f"203.0.113.{dice.randrange(1, 255)}",
        "log_local_ip_address": WORKER_ADDRESS,
        "log_local_port": 8080,
        "country_id": country,
        "city_alias": city,
        "asn_id": asn,
    }
    if dice.random() < _FAILED:
        [error] = dice.choices([name for name, _ in ERRORS], [weight for _, weight in ERRORS])
        return row | {"log_error": error, "log_total_elapsed_ms": dice.randrange(2000, 10_000)}
    [status] = dice.choices([code for code, _ in _STATUSES], [weight for _, weight in _STATUSES])
    received = round(dice.lognormvariate(10, 1.2))
    return row | {
        "log_status_code": status,
        "log_bytes_received": received if status == 200 else received // 20,
        "log_total_elapsed_ms": dice.randrange(120, 900),
    }
