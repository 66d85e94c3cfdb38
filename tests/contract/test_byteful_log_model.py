"""Every operator and every sort of the log's search, against a model in plain Python."""

from __future__ import annotations

import json
import random
import re
import uuid
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from analytics.byteful.log.ingest_columns import to_request_inbox
from analytics.byteful.log.queries import FIELDS
from fonproxy.api.search import Operator
from fonproxy.clickhouse.client import Client
from tests.contract.present import NOW
from tests.orders.helpers import bought
from tests.thoroughness import drawn, examples

NAMES = ("a.example", "B.example", "a_b.example", "100%.example", "", "ä.example")
Row = dict[str, Any]


@pytest.fixture(scope="module")
def alice(module_db: None) -> User:
    return User.objects.create_user("alice")


@pytest.fixture(scope="module")
def rows(alice: User, module_engine: Client) -> list[Row]:
    """Rows as the search returns them; few values per field, so that there are ties."""
    orders = [bought(alice, network=network, logins=(network,)) for network in ("isp", "mobile")]
    dice = random.Random(11)
    pushed = [
        {
            "log_request_datetime": (NOW - timedelta(seconds=dice.randrange(8))).isoformat(),
            "proxy_user_id": dice.choice(["isp", "mobile"]),
            "log_protocol": dice.choice(["http", "socks", None]),
            "log_method": dice.choice(["GET", "CONNECT", ""]),
            "log_hostname": dice.choice(NAMES),
            "log_status_code": dice.choice([0, 200, 404]),
            "log_error": dice.choice(["", "timeout", "Reset_1"]),
            "log_session_id": dice.choice(["", "s-1"]),
            "log_bytes_sent": dice.randrange(3),
            "log_bytes_received": dice.randrange(3),
            "log_total_elapsed_ms": dice.choice([None, 0, 1, 2]),
            "log_concurrency": dice.choice([None, 0, 1, 2]),
            "log_authentication_type": dice.choice([0, 1, None]),
            "log_client_ip_address": dice.choice(["203.0.113.9", "2001:db8::1", ""]),
            "log_local_ip_address": dice.choice(["198.51.100.1", ""]),
            "log_local_port": dice.choice([0, 8080]),
            "log_egress_ip_address": dice.choice(["192.0.2.7", "192.0.2.8"]),
            "country_id": dice.choice(["de", "us"]),
            "city_alias": dice.choice(["berlin", ""]),
            "asn_id": dice.choice([0, 3320]),
        }
        for _ in range(80)
    ]
    table = to_request_inbox(json.dumps({"logs": pushed}).encode(), NOW)
    module_engine.insert("request_inbox", table, token=uuid.uuid4().hex)
    api = APIClient()
    api.force_authenticate(alice)
    found: list[Row] = api.get("/log/search").json()["data"]
    assert len(found) == len(pushed) == len(orders) * 40
    return found


def meets(value: Any, operator: Operator, asked: str, is_number: bool) -> bool:
    """Whether a returned value matches a condition; a missing value matches only ``not_``."""
    if value is None:
        return operator is Operator.NOT
    mine: Any = value if is_number else str(value)
    wanted: Any = int(asked) if is_number else asked
    match operator:
        case Operator.EQUAL:
            return bool(mine == wanted)
        case Operator.NOT:
            return bool(mine != wanted)
        case Operator.MIN:
            return bool(mine >= wanted)
        case Operator.MAX:
            return bool(mine <= wanted)
        case Operator.LIKE:
            pattern = ".*".join(re.escape(part) for part in asked.split("%"))
            return re.fullmatch(pattern, mine, re.IGNORECASE | re.DOTALL) is not None


def asked_of(value: Any, operator: Operator, dice: random.Random) -> str:
    text = str("" if value is None else value)
    if operator is not Operator.LIKE:
        return text
    cut = dice.randrange(len(text) + 1)
    return dice.choice([f"{text[:cut]}%", f"%{text[cut:].upper()}", f"%{text[cut : cut + 2]}%", text])


@drawn
@pytest.mark.parametrize("field", [name for name in FIELDS if name not in ("log_id", "customer_id", "service_id")])
def test_each_field_can_be_searched_with_each_of_its_operators(field: str, rows: list[Row], api: APIClient) -> None:
    kind = FIELDS[field][0]
    dice = random.Random(field)
    for operator in kind.operators:
        for row in dice.sample(rows, examples(8)):
            asked = asked_of(row[field], operator, dice)
            if not asked:
                continue  # an empty parameter counts as absent
            found = api.get("/log/search", {f"{operator}{field}": asked}).json()
            expected = {one["log_id"] for one in rows if meets(one[field], operator, asked, kind.name == "integer")}
            assert {one["log_id"] for one in found["data"]} == expected, (operator, asked)
            assert found["total_count"] == len(expected)


@pytest.mark.parametrize("field", [None, *FIELDS])
@pytest.mark.parametrize("direction", ["", "_asc", "_desc"])
def test_every_sort_is_followed_by_pages_that_neither_overlap_nor_skip(
    field: str | None, direction: str, rows: list[Row], api: APIClient
) -> None:
    if field is None and direction:
        return
    sort: dict[str, Any] = {"sort_by": f"{field}{direction}"} if field else {}
    pages = [api.get("/log/search", {**sort, "page": page, "per_page": 17}).json()["data"] for page in range(1, 6)]
    found = [row for page in pages for row in page]
    assert sorted(row["log_id"] for row in found) == sorted(row["log_id"] for row in rows)
    if field in ("proxy_user_id", "service_id"):
        return  # sorted by their meaning
    is_descending = direction == "_desc" or field is None
    for one, other in pairwise(found):
        mine, next_ = (row[field or "log_request_datetime"] for row in (one, other))
        if mine is None:
            assert next_ is None  # missing values come last
        elif next_ is None:
            continue
        elif mine == next_:
            assert one["log_id"] < other["log_id"] or field == "log_id"
        else:
            assert (mine > next_) is is_descending
