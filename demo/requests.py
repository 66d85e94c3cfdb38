"""A gateway's rows as single requests, as it would push them to the log instead. Pure and repeatable.

The requests of a row sum up to the row, so that the log agrees with the totals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from random import Random
from typing import Any, Final

from fonproxy.timerange import GRAIN, STAMP, floor

LOGINS: Final = ("alice", "alice-mobile")
"""The customer whose requests are pushed singly; gateways of the others aggregate theirs."""

WORKER_ADDRESS: Final = "192.0.2.10"
# City and network of an exit by its country.
_EXITS: Final = {"US": ("dallas", 7018), "DE": ("berlin", 3320), "GB": ("leeds", 2856)}
_STATUSES: Final = ((200, 880), (301, 40), (403, 30), (404, 30), (429, 12), (503, 8))


def requests(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of the log's ingest body, within the quarter-hour of the row."""
    quarter = floor(datetime.strptime(f"{row['ts']}+0000", f"{STAMP}%z"), GRAIN)
    dice = Random(f"{row['proxy_user']} {row['ts']} {row['domain']} {row.get('error')}")  # noqa: S311  # not secret
    count = row["count"]
    shared = _shared(row, dice)
    received = _split(row.get("bytes_received", 0), count, dice)
    sent = _split(row["bytes_sent"], count, dice)
    elapsed = _split(row["duration_ms"], count, dice)
    for number in range(count):
        request = shared | {
            "log_request_datetime": f"{quarter + timedelta(seconds=dice.randrange(900)):{STAMP}}",
            "log_method": dice.choices(("GET", "POST", "CONNECT"), (70, 12, 18))[0],
            "log_session_id": f"s-{dice.randrange(400):03}",
            "log_bytes_sent": sent[number],
            "log_bytes_received": received[number],
            "log_total_elapsed_ms": elapsed[number],
        }
        if "error" not in row:
            request["log_status_code"] = dice.choices(
                [code for code, _ in _STATUSES], [weight for _, weight in _STATUSES]
            )[0]
        yield request


def _shared(row: Mapping[str, Any], dice: Random) -> dict[str, Any]:
    city, asn = _EXITS.get(row["country"], (None, None))
    found = {
        "proxy_user_id": row["proxy_user"],
        "log_protocol": "http",
        "log_hostname": row["domain"],
        "log_concurrency": dice.randrange(1, row["max_concurrency"] + 1),
        "log_authentication_type": 1,
        "log_client_ip_address": row["ip_from"],
        "log_egress_ip_address": row["ip_out"],
        "log_local_ip_address": WORKER_ADDRESS,
        "log_local_port": row["port"],
        "country_id": row["country"].lower(),
        "city_alias": city,
        "asn_id": asn,
        "log_error": row.get("error"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _split(total: int, parts: int, dice: Random) -> list[int]:
    """Integers of different sizes with this sum."""
    weights = list(accumulate(dice.lognormvariate(0, 0.8) for _ in range(parts)))
    ends = [0, *(int(total * weight / weights[-1]) for weight in weights[:-1]), total]
    return [end - start for start, end in pairwise(ends)]
