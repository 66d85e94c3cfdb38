"""Byteful's published Python client, or a stand-in with its types, reads every page of every route that we serve."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from fonproxy.clickhouse.client import Client
from orders import services as order_services
from orders.models import LedgerReason, Network, Order
from tests.contract.byteful_client import ROWS, BytefulClient, BytefulError
from tests.contract.present import NOW
from tests.contract.test_byteful_log import push, row
from tests.usage.helpers import carry_and_post

BASE_URL = "http://testserver/1.0"
NOUNS = ("log", "log_summary", "residential_ledger", "mobile_ledger")
HAS_CLIENT = importlib.util.find_spec("byteful") is not None


class AppSession:
    """The part of a ``requests.Session`` that the client uses, answered by the application."""

    def request(self, method: str, url: str, *, params: Any, json: Any, headers: dict[str, str], timeout: float) -> Any:
        texts = {name: value if isinstance(value, (str, list)) else str(value) for name, value in params.items()}
        answer = APIClient(raise_request_exception=False).generic(
            method, url, headers=headers, QUERY_STRING=urlencode(texts, doseq=True)
        )
        answer.text = answer.content.decode()
        return answer

    def close(self) -> None:
        pass


class Published:
    """The published client with the stand-in's method names."""

    def __init__(self, session: Any, public_key: str, private_key: str, base_url: str) -> None:
        self._client = importlib.import_module("byteful").BytefulClient(
            public_key, private_key, base_url=base_url, session=session, rate_limiter=None
        )

    def every(self, noun: str, **params: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        page = getattr(self._client, f"{noun}_search")(page=1, **params)
        while True:
            rows += [_known(noun, asdict(each)) for each in page]
            if page.next_page is None:
                return rows
            page = getattr(self._client, f"{noun}_search")(page=page.next_page, **params)

    def search(self, noun: str, **params: Any) -> dict[str, Any]:
        page = getattr(self._client, f"{noun}_search")(**params)
        return {"data": [_known(noun, asdict(each)) for each in page], "total_count": page.total_count}

    def retrieve(self, noun: str, published_id: str = "") -> dict[str, Any]:
        arguments = [published_id] if published_id else []
        return _known(noun, asdict(getattr(self._client, f"{noun}_retrieve")(*arguments)))

    def data(self, path: str, **params: Any) -> dict[str, Any]:
        found: dict[str, Any] = getattr(self._client, path.replace("/", "_"))(**params).data
        return found


def _known(noun: str, row: dict[str, Any]) -> dict[str, Any]:
    """The fields that we serve. Plain text where the client has an enum is a value unknown to it."""
    for name in ("log_network", "log_protocol", "log_summary_network"):
        assert row.get(name) is None or isinstance(row[name], StrEnum), name
    return {name: row[name] for name in ROWS[noun]}


CLIENTS: dict[str, Any] = {"stand-in": BytefulClient, **({"published": Published} if HAS_CLIENT else {})}


@pytest.fixture(params=list(CLIENTS.values()), ids=list(CLIENTS))
def client(request: pytest.FixtureRequest, alice: User, make_key: Callable[..., str]) -> Any:
    secret = make_key(alice)
    return request.param(AppSession(), secret[:8], secret, BASE_URL)


@pytest.fixture
def account(
    alice: User,
    make_order: Callable[..., Order],
    worker: User,
    client_for: Callable[..., APIClient],
    clean_engine: Client,
) -> Order:
    """Orders of both networks with every kind of entry, and requests of which some have hardly any fields."""
    start = NOW - timedelta(days=5)
    order = make_order(alice, limit=10**9, logins=("alice-1",), started_at=start, now=start)
    mobile = make_order(alice, network=Network.MOBILE, limit=10**9, logins=("alice-m",), started_at=start, now=start)
    for each in (order, mobile):
        for reason, size in ((LedgerReason.TOP_UP, 5), (LedgerReason.REFUND, 4), (LedgerReason.ADJUSTMENT, -3)):
            order_services.credit(each, reason, size, reference=reason, author="shop", now=start)
        carry_and_post(each, start + timedelta(days=1), 100)
    api = client_for(worker, "ingest")
    bare = {"log_request_datetime": NOW.isoformat(), "proxy_user_id": "alice-m"}
    stray = {"log_request_datetime": NOW.isoformat(), "user_id": alice.pk, "order_id": 10**6}
    rows = [row(at=NOW - timedelta(minutes=n), log_hostname=f"{n}.example") for n in range(5)]
    push(api, *rows, bare, stray, row(log_protocol="socks", log_authentication_type=None, country_id="zz"))
    return order


@pytest.mark.parametrize("noun", NOUNS)
def test_the_client_reads_every_page_of_a_search(noun: str, client: Any, account: Order) -> None:
    rows = list(client.every(noun, per_page=2))
    assert len(rows) == client.search(noun)["total_count"] > 2
    ids = [each[f"{noun}_id"] for each in rows]
    assert len(set(ids)) == len(ids)
    assert rows == list(client.every(noun, per_page=100))


@pytest.mark.parametrize("noun", NOUNS)
def test_every_row_is_retrieved_by_its_id(noun: str, client: Any, account: Order) -> None:
    for each in client.search(noun)["data"]:
        assert client.retrieve(noun, each[f"{noun}_id"]) == each


def test_keys_are_checked_by_the_customer(client: Any, account: Order, alice: User) -> None:
    found = client.retrieve("customer")
    assert (found["customer_id"], found["active_residential_service_id"]) == (alice.pk, account.published_id)


def test_summaries_and_charts_are_read(client: Any, account: Order) -> None:
    assert client.data("residential/summary")["residential_bytes_left"] < 10**9
    assert client.data("mobile/summary")["proxy_user_ids"] == ["alice-m"]
    graph = client.data("analytics/graph", preset="last_7_days", interval="day", show_log_concurrency=True)
    assert set(graph["graph"][0]) >= {"datetime", "requests", "bytes", "concurrency"}
    parts = client.data(
        "analytics/breakdown", preset="last_7_days", return_hostnames=True, return_networks=True, limit=5
    )
    assert {each["network"] for each in parts["networks"]} == {"residential", "mobile", None}
    assert len(parts["hostnames"]) == 5


FILTERS: dict[str, dict[str, Any]] = {
    "log": {
        "log_network": "residential",
        "log_protocol": "http",
        "country_id": "de",
        "city_alias": "berlin",
        "asn_id": 3320,
        "log_session_id": "s-1",
        "log_method": "CONNECT",
        "log_client_ip_address": "203.0.113.9",
        "log_local_ip_address": "198.51.100.1",
        "log_local_port": 8080,
        "log_egress_ip_address": "192.0.2.7",
        "log_status_code": 200,
        "log_total_bytes": 1000,
        "log_concurrency": 3,
        "log_total_elapsed_ms": 250,
        "proxy_user_id": "alice-1",
        "sort_by": "log_request_datetime_desc",
    },
    "log_summary": {"log_summary_network": "residential", "proxy_user_id": "alice-1"},
    "residential_ledger": {"residential_ledger_reason": "usage", "sort_by": "residential_ledger_bytes_asc"},
    "mobile_ledger": {"mobile_ledger_reason": "top_up", "mobile_ledger_bytes": 5},
}


@pytest.mark.parametrize("noun", NOUNS)
def test_every_filter_of_the_client_is_accepted(noun: str, client: Any, account: Order) -> None:
    everything = client.search(noun)["total_count"]
    for name, value in FILTERS[noun].items():
        found = client.search(noun, **{name: value})
        assert 0 < found["total_count"] <= everything, name


@pytest.mark.parametrize("name", ["proxy_id", "log_transport", "log_smartpath_routed"])
def test_a_filter_by_an_unstored_field_is_an_error_with_its_status(name: str, client: Any, account: Order) -> None:
    with pytest.raises(Exception, match=name) as refusal:
        client.search("log", **{name: "tcp"})
    assert getattr(refusal.value, "status_code", None) == 422


def test_errors_have_the_status_that_the_client_knows(account: Order, client: Any) -> None:
    for published_id in ("nonsense", account.published_id):
        with pytest.raises(Exception, match="Not Found") as refusal:
            client.retrieve("residential_ledger", published_id)
        assert getattr(refusal.value, "status_code", None) == 404
    wrong = BytefulClient(AppSession(), "fnp_0000", "fnp_" + "0" * 64, BASE_URL)
    with pytest.raises(BytefulError, match="401 Unauthorized"):
        wrong.retrieve("customer")
