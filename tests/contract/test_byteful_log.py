"""The log of section 4 of the contract: single requests, pushed, searched and counted."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from analytics.byteful.log.ingest_columns import to_request_inbox
from analytics.byteful.log.ingest_row import LOG
from analytics.byteful.log.queries import FIELDS, NULLABLE
from analytics.ingest.flusher import flusher
from analytics.models import IngestBatch, InsertBlock
from fonproxy.clickhouse.client import Client, get_client
from orders import ledger
from orders.models import Network, Order
from tests.analytics.helpers import TABLES, counted, engine_unavailable
from tests.contract.present import NOW
from usage import metering

AT = NOW - timedelta(hours=3)
PREFIXES = ("", "/1.0/public/user")
SUMMED = "count, bytes_sent, bytes_received, error_count, duration_ms, max_concurrency"


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> Order:
    return make_order(alice, limit=10**9, logins=("alice-1",), started_at=AT - timedelta(days=9), now=NOW)


@pytest.fixture
def worker_api(worker: User, client_for: Callable[..., APIClient]) -> APIClient:
    return client_for(worker, "ingest")


def row(**changes: Any) -> dict[str, Any]:
    at = changes.pop("at", AT)
    return {
        "log_request_datetime": at.isoformat(),
        "proxy_user_id": "alice-1",
        "log_protocol": "http",
        "log_method": "CONNECT",
        "log_hostname": "Shop.Example.com",
        "log_status_code": 200,
        "log_error": "",
        "log_session_id": "s-1",
        "log_bytes_sent": 100,
        "log_bytes_received": 900,
        "log_total_elapsed_ms": 250,
        "log_concurrency": 3,
        "log_authentication_type": 1,
        "log_client_ip_address": "203.0.113.9",
        "log_local_ip_address": "198.51.100.1",
        "log_local_port": 8080,
        "log_egress_ip_address": "192.0.2.7",
        "country_id": "de",
        "city_alias": "berlin",
        "asn_id": 3320,
        **changes,
    }


def push(api: APIClient, *rows: dict[str, Any], expected: int = 204, prefix: str = "", **headers: str) -> Any:
    body = json.dumps({"logs": rows})
    answer = api.post(f"{prefix}/log/ingest", body, content_type="application/json", headers=headers)
    assert answer.status_code == expected, answer.content
    return answer.json() if expected != 204 else None


def search(api: APIClient, expected: int = 200, /, **query: Any) -> Any:
    answer = api.get("/log/search", query)
    assert answer.status_code == expected, answer.content
    return answer.json()


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_request_is_pushed_searched_and_retrieved(
    prefix: str, order: Order, api: APIClient, worker_api: APIClient
) -> None:
    push(worker_api, row(log_id=str(uuid.uuid4())), prefix=prefix)
    page = api.get(f"{prefix}/log/search").json()
    assert {name: page[name] for name in page if name != "data"} == {
        "item_count": 1,
        "message": "Log search successful.",
        "page": 1,
        "per_page": 100,
        "total_count": 1,
    }
    [found] = page["data"]
    assert list(found) == list(FIELDS)
    log_id = uuid.UUID(found["log_id"])
    assert log_id.version == 7
    assert log_id.int >> 80 == int(AT.timestamp() * 1000)
    assert found == {
        **{name: value for name, value in row().items() if name in found},
        "log_id": found["log_id"],
        "customer_id": order.user_id,
        "service_id": order.published_id,
        "log_network": "residential",
        "log_hostname": "shop.example.com",
        "log_error": None,
        "log_total_bytes": 1000,
        "log_request_datetime": f"{AT:%Y-%m-%d %H:%M:%S}",
    }
    answer = api.get(f"{prefix}/log/retrieve/{found['log_id']}").json()
    assert answer == {"data": found, "message": "Log successfully retrieved."}


def test_a_single_request_counts_once_in_every_table_like_an_aggregated_row(
    order: Order, worker_api: APIClient, clean_engine: Client
) -> None:
    # No table of the engine must differ between the two ways.
    push(worker_api, row(), row(log_error="timeout", log_concurrency=9), Idempotency_Key="k")
    push(worker_api, row(), row(log_error="timeout", log_concurrency=9), Idempotency_Key="k")
    raw = _everything(clean_engine)
    metering.post_usage(NOW)
    assert ledger.used_in_total([order.pk]) == {order.pk: 2000}
    for table in (*TABLES, "requests"):
        clean_engine.command(f"TRUNCATE TABLE {table}", tag="tests")
    for error, concurrency in (("", 3), ("timeout", 9)):
        line = {
            "ts": AT.isoformat(),
            "proxy_user": "alice-1",
            "count": 1,
            "bytes_sent": 100,
            "bytes_received": 900,
            "duration_ms": 250,
            "max_concurrency": concurrency,
            "error": error,
            "error_count": int(error != ""),
            "domain": "shop.example.com",
            "country": "DE",
            "ip_out": "192.0.2.7",
            "ip_from": "203.0.113.9",
            "port": 8080,
            "protocol": "http",
        }
        body = json.dumps({"logs": [line]})
        assert worker_api.post("/analytics/ingest", body, content_type="application/json").status_code == 204
    assert _everything(clean_engine) == raw


def _everything(engine: Client) -> dict[str, Any]:
    """Every table's rows, aggregated like in every read."""
    tables: dict[str, Any] = {}
    for table in TABLES:
        [names] = engine.fetch(f"SELECT sorting_key FROM system.tables WHERE name = '{table}'", tag="tests")[0:1]
        sums = SUMMED.replace("max_concurrency", "max(max_concurrency)").split(", ")
        measures = ", ".join(part if "(" in part else f"sum({part})" for part in [*sums, "rows"])
        sql = f"SELECT {names[0]}, {measures} FROM {table} GROUP BY {names[0]} ORDER BY {names[0]}"
        tables[table] = engine.fetch(sql, tag="tests")
    return tables


def test_a_batch_that_is_sent_twice_changes_no_table(order: Order, clean_engine: Client) -> None:
    table = to_request_inbox(json.dumps({"logs": [row(), row(at=NOW - timedelta(days=6))]}).encode(), NOW)
    for _ in range(2):
        clean_engine.insert("request_inbox", table, token="twice")
    found = {name: counted(clean_engine, name) for name in (*TABLES, "requests")}
    assert found == dict.fromkeys(found, (2, 2)) | {"minute_traffic": (1, 1)}


def test_a_batch_accepted_while_the_engine_is_unavailable_counts_once(order: Order, worker_api: APIClient) -> None:
    with engine_unavailable():
        push(worker_api, row())
    IngestBatch.objects.update(claimed_until=NOW)
    InsertBlock.objects.update(claimed_until=NOW)
    flusher.replay()
    flusher.replay()
    assert counted(get_client(), "requests") == (1, 1)
    assert counted(get_client(), "traffic") == (1, 1)


@pytest.fixture
def many(order: Order, alice: User, make_order: Callable[..., Order], worker_api: APIClient) -> Order:
    """Six requests, a minute apart, the newest last; the last two of another order without a login."""
    mobile = make_order(alice, network=Network.MOBILE)
    extras: tuple[dict[str, Any], ...] = (
        {"log_error": "dns_failure", "log_status_code": 0},
        {"log_protocol": "socks", "log_authentication_type": 4},
        {"country_id": "us", "asn_id": 0},
        {"log_client_ip_address": "2001:DB8::1"},
    )
    rows = [
        row(at=AT + timedelta(minutes=n), log_hostname=f"site{n % 3}.example", log_bytes_received=n * 100, **extra)
        for n, extra in enumerate(extras)
    ]
    for n in (4, 5):
        free = row(at=AT + timedelta(minutes=n), log_hostname="100%_sure.example", log_bytes_received=n * 100)
        free |= {"user_id": mobile.user_id, "order_id": mobile.pk}
        del free["proxy_user_id"]
        rows.append(free)
    push(worker_api, *rows)
    return mobile


def minute(n: int) -> str:
    return f"{AT + timedelta(minutes=n):%Y-%m-%d %H:%M:%S}"


FILTERS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "everything": ({}, [5, 4, 3, 2, 1, 0]),
    "network": ({"log_network": "mobile"}, [5, 4]),
    "not network": ({"not_log_network": "mobile"}, [3, 2, 1, 0]),
    "protocol": ({"log_protocol": "socks"}, [1]),
    "hostname in any case": ({"log_hostname": "SITE0.example"}, [3, 0]),
    "like": ({"like_log_hostname": "SITE%"}, [3, 2, 1, 0]),
    "like takes letters as they are": ({"like_log_hostname": "100%\\_sure%"}, []),
    "like with an underscore": ({"like_log_hostname": "%_sure%"}, [5, 4]),
    "like has one wildcard only": ({"like_log_hostname": "site_.example"}, []),
    "like everything": ({"like_log_hostname": "%" * 255}, [5, 4, 3, 2, 1, 0]),
    "not told is no number": ({"log_status_code": "0"}, []),
    "min status": ({"min_log_status_code": "1"}, [5, 4, 3, 2, 1]),
    "error": ({"log_error": "dns_failure"}, [0]),
    "not error": ({"not_log_error": "dns_failure"}, [5, 4, 3, 2, 1]),
    "total": ({"min_log_total_bytes": "400", "max_log_total_bytes": "500"}, [4, 3]),
    "received": ({"log_bytes_received": "300"}, [3]),
    "below zero": ({"min_log_bytes_received": "-1"}, [5, 4, 3, 2, 1, 0]),
    "country": ({"country_id": "US"}, [2]),
    "not country": ({"not_country_id": "de"}, [2]),
    "not that number": ({"not_asn_id": "3320"}, [2]),
    "client in another spelling": ({"log_client_ip_address": "2001:DB8:0:0::1"}, [3]),
    "mapped": ({"log_egress_ip_address": "::ffff:192.0.2.7"}, [5, 4, 3, 2, 1, 0]),
    "like in capitals": ({"like_log_hostname": "SITE%"}, [3, 2, 1, 0]),
    "client": ({"log_client_ip_address": "2001:db8::1"}, [3]),
    "authentication": ({"log_authentication_type": "4"}, [1]),
    "second": ({"log_request_datetime": minute(2)}, [2]),
    "since": ({"min_log_request_datetime": minute(4)}, [5, 4]),
    "until": ({"max_log_request_datetime": minute(1)}, [1, 0]),
    "not then": ({"not_log_request_datetime": minute(2)}, [5, 4, 3, 1, 0]),
    "login": ({"proxy_user_id": "alice-1"}, [3, 2, 1, 0]),
    "like a login": ({"like_proxy_user_id": "ALICE-%"}, [3, 2, 1, 0]),
    "like no login": ({"like_proxy_user_id": "-1"}, []),
    "sort": ({"sort_by": "log_bytes_received"}, [0, 1, 2, 3, 4, 5]),
    "sort down": ({"sort_by": "log_hostname_desc", "log_protocol": "http"}, [2, 0, 3, 4, 5]),
    "page": ({"page": "2", "per_page": "4"}, [1, 0]),
    "past the end": ({"page": "1000000000"}, []),
}


def test_a_search_applies_each_filter_and_sort(many: Order, api: APIClient) -> None:
    for name, (query, expected) in FILTERS.items():
        numbers = [row["log_bytes_received"] // 100 for row in search(api, **query)["data"]]
        if "sort_by" in query and "hostname" in query["sort_by"]:
            assert sorted(numbers) == sorted(expected), name
        else:
            assert numbers == expected, name


def test_ids_of_other_accounts_are_not_found(
    many: Order, api: APIClient, bob: User, make_order: Callable[..., Order], worker_api: APIClient, alice: User
) -> None:
    foreign = make_order(bob, logins=("bob-1",))
    push(worker_api, row(proxy_user_id="bob-1"))
    assert len(search(api, service_id=many.published_id)["data"]) == 2
    mine = search(api)["data"][0]
    assert [found["log_id"] for found in search(api, log_id=mine["log_id"])["data"]] == [mine["log_id"]]
    assert len(search(api, not_log_id=mine["log_id"], customer_id=alice.pk)["data"]) == 5
    [theirs] = [
        str(log_id)
        for (log_id,) in get_client().fetch(f"SELECT log_id FROM requests WHERE user_id = {bob.pk}", tag="t")
    ]
    for query in (
        {"log_id": theirs},
        {"log_id": "nonsense"},
        {"log_id": str(uuid.uuid4())},
        {"service_id": foreign.published_id},
        {"customer_id": bob.pk},
    ):
        assert search(api, 404, **query)["error"] == "Not Found"
    for login in ("bob-1", "nobody", "nobody\0"):
        assert search(api, proxy_user_id=login)["data"] == []
        assert search(api, not_proxy_user_id=login)["total_count"] == search(api)["total_count"]
    assert search(api, like_proxy_user_id="%bob%")["data"] == []
    assert search(api, like_proxy_user_id="%")["total_count"] == 4
    for log_id in (theirs, "nonsense", str(uuid.uuid4()), mine["log_id"].replace("-", ""), "%00"):
        assert api.get(f"/log/retrieve/{log_id}").status_code == 404


# Byteful's published client has these as parameters, or its documentation as operators.
UNKEPT = (
    "proxy_id",
    "log_transport",
    "log_smartpath_routed",
    "log_smartpath_enabled",
    "log_protocol_version",
    "log_is_tls_enabled",
    "min_log_handshake_elapsed_ms",
    "not_log_transport",
    "exists_proxy_id",
    "exists_log_error",
    "exists_log_transport",
    "exists_country_id",
    "log_summary_network",
    "residential_ledger_reason",
    "min_mobile_ledger_bytes",
    "service_adjustment_id",
)


@pytest.mark.parametrize("name", UNKEPT)
def test_a_filter_by_a_field_that_is_not_stored_is_refused_by_name(name: str, order: Order, api: APIClient) -> None:
    error = search(api, 422, **{name: "true"})
    assert error["error"] == "Unprocessable Entity"
    assert f"{name}:" in error["message"]
    assert search(api, **{name: "", "anything": "else"})["page"] == 1


HOSTILE: dict[str, tuple[dict[str, Any], int, str]] = {
    "text for a number": ({"log_status_code": "ok"}, 400, "log_status_code"),
    "no time": ({"min_log_request_datetime": "then"}, 400, "min_log_request_datetime"),
    "no address": ({"log_client_ip_address": "999.1.1.1"}, 400, "log_client_ip_address"),
    "not no address": ({"not_log_egress_ip_address": "4242"}, 400, "not_log_egress_ip_address"),
    "a long address": ({"log_local_ip_address": "1" * 300}, 400, "log_local_ip_address"),
    "three letters for a country": ({"country_id": "xyz"}, 400, "country_id"),
    "no letters for a country": ({"not_country_id": "42"}, 400, "not_country_id"),
    "twice": ({"log_method": ["GET", "PUT"]}, 400, "log_method"),
    "min of a text": ({"min_log_hostname": "a"}, 422, "min_log_hostname"),
    "like a number": ({"like_log_status_code": "2%"}, 422, "like_log_status_code"),
    "like an id": ({"like_log_id": "%"}, 422, "like_log_id"),
    "unknown network": ({"log_network": "satellite"}, 422, "log_network"),
    "unknown sort": ({"sort_by": "log_password"}, 422, "sort_by"),
    "sort by SQL": ({"sort_by": "ts; DROP TABLE requests"}, 422, "sort_by"),
    "too many per page": ({"per_page": "1000"}, 422, "per_page"),
    "no zone": ({"tz": "Berlin"}, 400, "tz"),
    "two zones": ({"tz": ["UTC", "UTC"]}, 400, "tz"),
    "a long login": ({"like_proxy_user_id": "%a" * 200}, 422, "like_proxy_user_id"),
    "a long pattern": ({"like_log_hostname": "%a" * 200}, 422, "like_log_hostname"),
}


@pytest.mark.parametrize(("query", "status", "named"), HOSTILE.values(), ids=HOSTILE)
def test_a_bad_search_is_refused(query: dict[str, Any], status: int, named: str, order: Order, api: APIClient) -> None:
    assert named in search(api, status, **query)["message"]


def test_times_are_in_the_requested_zone(order: Order, api: APIClient, worker_api: APIClient) -> None:
    """Nepal is ahead by five hours and three quarters the whole year."""
    at = NOW - timedelta(minutes=5)
    push(worker_api, row(at=at), row(at=at - timedelta(days=1)))
    utc, local = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (at, at + timedelta(hours=5, minutes=45)))
    zone = {"tz": "Asia/Kathmandu"}
    for shown in (local, local[:10], f"{at:%Y-%m-%dT%H:%M:%SZ}"):
        [found] = search(api, log_request_datetime=shown, **zone)["data"]
        assert found["log_request_datetime"] == local
    assert search(api, log_request_datetime=utc, **zone)["data"] == []
    lines = api.get("/log/search", {"format": "csv", "min_log_request_datetime": local, **zone}).content.decode()
    assert (local in lines, utc in lines) == (True, False)
    path = f"/log/retrieve/{found['log_id']}"
    assert api.get(path, zone).json()["data"] == found
    assert api.get(path).json()["data"]["log_request_datetime"] == utc
    assert api.get(path, {"tz": "Berlin"}).status_code == 400


def test_many_conditions_at_once_are_answered(many: Order, api: APIClient) -> None:
    query = {f"not_{name}": "4242" for name, (kind, _) in FIELDS.items() if kind.name in ("integer", "text")}
    del query["not_log_network"], query["not_log_protocol"]
    query |= {name: "192.0.2.99" for name in query if name.endswith("_ip_address")} | {"not_country_id": "jp"}
    query |= {f"like_{name}": "%" for name, (kind, _) in FIELDS.items() if kind.name == "text" and name not in NULLABLE}
    assert search(api, **query)["total_count"] == 6
    assert search(api, **query, like_log_error="%")["total_count"] == 1


def test_pages_neither_overlap_nor_skip_under_ties(order: Order, api: APIClient, worker_api: APIClient) -> None:
    push(worker_api, *[row()] * 7)
    for sort in ("", "log_request_datetime_asc", "log_hostname_desc"):
        ids = [search(api, page=page, per_page=2, sort_by=sort)["data"] for page in range(1, 5)]
        assert len({found["log_id"] for page in ids for found in page}) == 7


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no time": ({"log_request_datetime": None}, "log_request_datetime"),
    "a wrong time": ({"log_request_datetime": "then"}, "log_request_datetime"),
    "older than a week": ({"at": NOW - timedelta(days=7, hours=1)}, "log_request_datetime"),
    "more than a day ahead": ({"at": NOW + timedelta(days=2)}, "log_request_datetime"),
    "nobody": ({"proxy_user_id": ""}, "user_id"),
    "an unknown login": ({"proxy_user_id": "mallory"}, "proxy_user_id"),
    "a wrong protocol": ({"log_protocol": "smtp"}, "log_protocol"),
    "a status as text": ({"log_status_code": "200"}, "log_status_code"),
    "a status that is none": ({"log_status_code": 1000}, "log_status_code"),
    "a wrong address": ({"log_egress_ip_address": "here"}, "log_egress_ip_address"),
    "a wrong local address": ({"log_local_ip_address": "here"}, "log_local_ip_address"),
    "a wrong country": ({"country_id": "Germany"}, "country_id"),
    "bytes below zero": ({"log_bytes_sent": -1}, "log_bytes_sent"),
    "true": ({"log_concurrency": True}, "log_concurrency"),
}


@pytest.mark.parametrize(("changes", "named"), BAD.values(), ids=BAD)
def test_a_bad_row_is_named_and_nothing_is_stored(
    changes: dict[str, Any], named: str, order: Order, worker_api: APIClient, clean_engine: Client
) -> None:
    error = push(worker_api, row(), row(**changes), expected=400)
    assert re.search(rf"\b{named}\b", error["message"]), error
    assert counted(clean_engine, "requests") == (0, 0)


MEASURES = ("log_authentication_type", "log_total_elapsed_ms", "log_concurrency")


@pytest.mark.parametrize("field", MEASURES)
@pytest.mark.parametrize("value", [0, 7, None])
def test_measures_are_answered_as_reported_and_null_when_not(
    field: str, value: int | None, order: Order, api: APIClient, worker_api: APIClient
) -> None:
    push(worker_api, row(**{field: value}))
    assert search(api)["data"][0][field] == value
    assert search(api, **{f"min_{field}": "0"})["total_count"] == (value is not None)


@pytest.mark.parametrize("field", [*MEASURES, "log_protocol", "log_hostname", "log_method"])
def test_a_field_left_out_of_the_row_is_null(field: str, order: Order, api: APIClient, worker_api: APIClient) -> None:
    partial = row()
    del partial[field]
    push(worker_api, partial)
    [found] = search(api)["data"]
    assert found[field] is None
    assert search(api, **{f"not_{field}": "http" if field == "log_protocol" else "1"})["total_count"] == 1


@pytest.mark.parametrize(
    ("given", "each_way"),
    [
        ({"log_total_bytes": 1000}, (0, 1000)),
        ({"log_total_bytes": 1000, "log_bytes_sent": 100}, (100, 900)),
        ({"log_total_bytes": 1000, "log_bytes_received": 900}, (100, 900)),
        ({"log_total_bytes": 50, "log_bytes_sent": 100}, (100, 0)),
        ({"log_total_bytes": None, "log_bytes_sent": 100}, (100, 0)),
        ({"log_bytes_received": 900}, (0, 900)),
        ({"log_total_bytes": 7, "log_bytes_sent": 100, "log_bytes_received": 900}, (100, 900)),
        ({"log_total_bytes": 2**45}, (0, 2**45)),
        ({}, (0, 0)),
    ],
)
def test_a_total_counts_where_a_direction_is_missing(
    given: dict[str, Any], each_way: tuple[int, int], order: Order, api: APIClient, worker_api: APIClient
) -> None:
    partial = row()
    del partial["log_bytes_sent"], partial["log_bytes_received"]
    push(worker_api, partial | given, row(log_bytes_sent=1, log_bytes_received=2))
    found = search(api, sort_by="log_bytes_sent_desc", not_log_total_bytes="3")["data"]
    assert [(each["log_bytes_sent"], each["log_bytes_received"]) for each in found] == [each_way]
    metering.post_usage(NOW)
    assert ledger.used_in_total([order.pk]) == {order.pk: sum(each_way) + 3}


@pytest.mark.parametrize("total", ["1000", 1.0, True, -1, 2**45 + 1])
def test_a_total_that_is_no_number_of_bytes_is_refused(total: Any, order: Order, worker_api: APIClient) -> None:
    refused = push(worker_api, row(log_total_bytes=total), expected=400)
    assert [error["field"] for error in refused["errors"]] == ["log_total_bytes"]


def test_a_row_of_a_search_may_be_pushed_again(order: Order, api: APIClient, worker_api: APIClient) -> None:
    push(worker_api, {"log_request_datetime": AT.isoformat(), "proxy_user_id": "alice-1", "log_total_bytes": 5})
    [first] = search(api)["data"]
    assert {name for name, value in first.items() if value is None} == NULLABLE - {"log_network"}
    push(worker_api, first)
    again = [{**found, "log_id": first["log_id"]} for found in search(api)["data"]]
    assert again == [first, first]


def test_null_means_not_reported(order: Order, alice: User, api: APIClient, worker_api: APIClient) -> None:
    nothing = dict.fromkeys(LOG.names.values()) | {"log_request_datetime": AT.isoformat()}
    del nothing["log_bytes_sent"], nothing["log_bytes_received"]
    push(worker_api, nothing | {"proxy_user_id": "alice-1"}, nothing | {"user_id": alice.pk, "order_id": order.pk})
    assert [found["proxy_user_id"] for found in search(api)["data"]] == ["alice-1", "alice-1"]


@pytest.mark.parametrize("field", ["log_bytes_sent", "log_bytes_received", "log_request_datetime"])
def test_bytes_and_time_are_never_null(field: str, order: Order, worker_api: APIClient) -> None:
    refused = push(worker_api, row(log_error=None), row(**{field: None}), expected=400)
    assert [(error["field"], error["index"]) for error in refused["errors"]] == [(field, 1)]


def test_the_network_of_unattributed_traffic_is_null(
    order: Order, alice: User, api: APIClient, worker_api: APIClient
) -> None:
    stray = row(user_id=alice.pk, order_id=order.pk + 1000)
    del stray["proxy_user_id"]
    push(worker_api, stray)
    assert search(api)["data"][0]["log_network"] is None


@pytest.mark.parametrize("value", ["1", "ip", "", 1.5, True, -1])
def test_an_authentication_kind_that_is_not_an_integer_is_refused(
    value: Any, order: Order, worker_api: APIClient
) -> None:
    refused = push(worker_api, row(log_authentication_type=value), expected=400)
    assert [error["field"] for error in refused["errors"]] == ["log_authentication_type"]


@pytest.mark.parametrize("sent", ["uk", "UK", "gb"])
def test_the_united_kingdom_is_one_country_by_either_code(
    sent: str, order: Order, api: APIClient, worker_api: APIClient
) -> None:
    push(worker_api, row(country_id=sent), row(country_id="de"))
    for asked in ("uk", "GB"):
        assert [found["country_id"] for found in search(api, country_id=asked)["data"]] == ["gb"]


@pytest.mark.parametrize("sent", ["aa", "zz", "qm", "el", "xx"])
def test_a_country_that_iso_3166_does_not_assign_is_xx(
    sent: str, order: Order, api: APIClient, worker_api: APIClient
) -> None:
    push(worker_api, row(country_id=sent), row(country_id="xk"))
    assert {found["country_id"] for found in search(api)["data"]} == {"xx", "xk"}
    assert [found["country_id"] for found in search(api, country_id=sent)["data"]] == ["xx"]


@pytest.mark.parametrize("asked", ["xn--mnchen-3ya.example", "MÜNCHEN.example.", "münchen.example"])
def test_a_host_is_found_by_each_of_its_spellings(
    asked: str, order: Order, api: APIClient, worker_api: APIClient
) -> None:
    push(worker_api, row(log_hostname="xn--mnchen-3ya.example."), row(log_hostname="münchen.example"))
    for route, field in (("log", "log_hostname"), ("log_summary", "log_summary_hostname")):
        found = api.get(f"/{route}/search", {field: asked}).json()["data"]
        assert {one[field] for one in found} == {"münchen.example"}, route
    summary = api.get("/log_summary/search").json()["data"]
    assert [one["log_summary_requests"] for one in summary] == [2]
    graph = api.get("/analytics/graph", {"preset": "last_7_days", "hostname": asked}).json()["data"]
    assert graph["summary"]["requests"] == 2


def test_a_search_finds_host_names_in_any_case(order: Order, api: APIClient, worker_api: APIClient) -> None:
    push(worker_api, row(log_hostname="İstanbul.example"))
    assert search(api, log_hostname="İstanbul.example")["total_count"] == 1
    assert search(api, like_log_hostname="İ%")["total_count"] == 1


def test_a_customer_may_not_push(order: Order, api: APIClient) -> None:
    assert push(api, row(), expected=403)["error"] == "Forbidden"


def test_requests_older_than_a_week_are_not_listed(order: Order, api: APIClient, clean_engine: Client) -> None:
    week_ago = int((NOW - timedelta(days=7)).timestamp() * 1000)
    clean_engine.command(
        "INSERT INTO requests (log_id, ts, user_id, count)"
        f" SELECT generateUUIDv4(), fromUnixTimestamp64Milli({week_ago}, 'UTC'), {order.user_id}, 1",
        tag="tests",
    )
    assert search(api)["total_count"] == 0


def test_a_search_is_counted_to_a_limit_beyond_which_pages_go_on(
    order: Order, api: APIClient, worker_api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(worker_api, *(row(at=AT + timedelta(seconds=number), log_error="timeout") for number in range(7)))
    monkeypatch.setattr("analytics.byteful.log.queries.MAX_COUNTED", 3)
    totals = [search(api, log_error="timeout", per_page=2, page=page)["total_count"] for page in (1, 2, 3, 4, 5)]
    assert totals == [4, 5, 7, 7, 7]
    assert search(api, log_error="none")["total_count"] == 0
    day = {"min_log_request_datetime": f"{AT:%Y-%m-%d}"}
    assert search(api, **day, per_page=1)["total_count"] == search(api, per_page=1)["total_count"] == 7
    seen: list[str] = []
    for page in range(1, 10):
        found = search(api, log_error="timeout", per_page=2, page=page)
        seen += [each["log_id"] for each in found["data"]]
        if page * 2 >= found["total_count"]:  # as published clients end
            break
    assert len(set(seen)) == len(seen) == 7
