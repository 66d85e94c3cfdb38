"""The ledgers and summaries of section 4 of the contract."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from fonproxy.clickhouse.client import Client
from orders import services as order_services
from orders.models import LedgerReason, Network, Order
from tests.contract.present import NOW
from tests.usage.helpers import carry_and_post

DAY = timedelta(days=1)
START = NOW - 5 * DAY
PREFIXES = ("", "/1.0/public/user")
FIELDS = (
    "customer_id",
    "residential_ledger_id",
    "residential_ledger_bytes",
    "residential_ledger_requests",
    "residential_ledger_period_date",
    "residential_ledger_reason",
    "service_id",
    "service_adjustment_id",
    "residential_ledger_creation_datetime",
    "residential_ledger_last_update_datetime",
)


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order], clean_engine: Client) -> Order:
    """A purchase, two days of usage, a top-up, and a wrong top-up that was reversed."""
    order = make_order(alice, limit=1000, started_at=START, now=START, logins=("alice-1", "alice-2"))
    carry_and_post(order, START + DAY, 300)
    carry_and_post(order, START + 2 * DAY, 50)
    order_services.credit(order, LedgerReason.TOP_UP, 200, reference="t", author="shop", now=START + 3 * DAY)
    order_services.credit(order, LedgerReason.ADJUSTMENT, -30, reference="a", author="shop", now=START + 4 * DAY)
    return order


def search(api: APIClient, status: int = 200, network: str = "residential", **query: Any) -> Any:
    answer = api.get(f"/{network}_ledger/search", query)
    assert answer.status_code == status, answer.json()
    return answer.json()


def column(page: Any, name: str) -> list[Any]:
    return [row[f"residential_ledger_{name}"] for row in page["data"]]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_search_lists_every_entry_newest_first(prefix: str, api: APIClient, order: Order) -> None:
    page = api.get(f"{prefix}/residential_ledger/search").json()
    assert {name: page[name] for name in page if name != "data"} == {
        "item_count": 5,
        "message": "Residential Ledger search successful.",
        "page": 1,
        "per_page": 100,
        "total_count": 5,
    }
    assert tuple(page["data"][0]) == FIELDS
    assert column(page, "reason") == ["adjustment", "top_up", "usage", "usage", "service_purchase"]
    assert column(page, "bytes") == [-30, 200, -50, -300, 1000]
    assert column(page, "requests") == [0, 0, 1, 1, 0]
    assert [row["service_adjustment_id"] for row in page["data"]] == [2, 1, None, None, None]
    assert {row["service_id"] for row in page["data"]} == {order.published_id}
    assert {row["customer_id"] for row in page["data"]} == {order.user_id}
    usage = page["data"][2]
    assert usage["residential_ledger_period_date"] == f"{START + 2 * DAY:%Y-%m-%d}"
    assert usage["residential_ledger_creation_datetime"] == f"{START + 2 * DAY:%Y-%m-%d %H:%M:%S}"


def test_adjustments_are_numbered_by_order(
    alice: User, bob: User, make_order: Callable[..., Order], api: APIClient, order: Order
) -> None:
    second, of_bob = (make_order(user, limit=1000, started_at=START, now=START) for user in (alice, bob))
    for day, other in enumerate((of_bob, second, second)):
        order_services.credit(other, LedgerReason.TOP_UP, 5, reference=f"t{day}", author="shop", now=START + day * DAY)
    numbers = [row["service_adjustment_id"] for row in search(api, service_id=second.published_id)["data"]]
    assert numbers == [2, 1, None]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_an_entry_is_retrieved_by_its_id(prefix: str, api: APIClient, order: Order) -> None:
    entry = search(api)["data"][1]
    answer = api.get(f"{prefix}/residential_ledger/retrieve/{entry['residential_ledger_id']}")
    assert answer.json() == {"data": entry, "message": "Residential Ledger successfully retrieved."}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_summary_has_the_bytes_left(prefix: str, api: APIClient, order: Order) -> None:
    assert api.get(f"{prefix}/residential/summary").json() == {
        "data": {
            "residential_bytes": 1170,
            "residential_bytes_used": 350,
            "residential_bytes_left": 820,
            "residential_requests": 2,
            "proxy_user_ids": ["alice-1", "alice-2"],
        },
        "message": "Residential summary successfully generated.",
    }


def test_a_summary_adds_up_orders_and_leaves_out_those_that_ended(
    api: APIClient, order: Order, alice: User, make_order: Callable[..., Order]
) -> None:
    make_order(alice, limit=30)
    ended = make_order(alice, limit=5000, started_at=START, expires_at=NOW - DAY, now=START)
    order_services.close_expired(NOW)
    make_order(alice, limit=None)
    data = api.get("/residential/summary").json()["data"]
    assert (data["residential_bytes"], data["residential_bytes_left"]) == (1200, 850)
    order_services.expire(order, NOW)
    assert ended.pk != order.pk
    assert api.get("/residential/summary").json()["data"]["residential_bytes_left"] == 30


def test_without_metered_orders_there_are_no_bytes(
    api: APIClient, alice: User, make_order: Callable[..., Order]
) -> None:
    make_order(alice, network=Network.MOBILE, limit=None)
    data = api.get("/mobile/summary").json()["data"]
    assert [data[f"mobile_bytes{end}"] for end in ("", "_used", "_left")] == [None, None, None]


def test_networks_are_reported_separately(api: APIClient, order: Order) -> None:
    entry = search(api)["data"][0]["residential_ledger_id"]
    assert search(api, network="mobile")["data"] == []
    for path in ("/mobile/summary", f"/mobile_ledger/retrieve/{entry}"):
        answer = api.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"] == "Not Found"
        assert uuid.UUID(answer.json()["api_request_id"])


FILTERS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "equal": ({"residential_ledger_bytes": "-300"}, [-300]),
    "not": ({"not_residential_ledger_bytes": "-300"}, [-30, 200, -50, 1000]),
    "min includes": ({"min_residential_ledger_bytes": "200"}, [200, 1000]),
    "max includes": ({"max_residential_ledger_bytes": "-50"}, [-50, -300]),
    "min and max": ({"min_residential_ledger_bytes": "-50", "max_residential_ledger_bytes": "200"}, [-30, 200, -50]),
    "reason": ({"residential_ledger_reason": "usage"}, [-50, -300]),
    "not reason": ({"not_residential_ledger_reason": "usage"}, [-30, 200, 1000]),
    "like": ({"like_residential_ledger_reason": "%UP"}, [200]),
    "like without a wildcard": ({"like_residential_ledger_reason": "Top_Up"}, [200]),
    "like takes no other wildcard": ({"like_residential_ledger_reason": "top?up"}, []),
    "like everything": ({"like_residential_ledger_reason": "%" * 255}, [-30, 200, -50, -300, 1000]),
    "requests": ({"min_residential_ledger_requests": "1"}, [-50, -300]),
    "day": ({"residential_ledger_period_date": f"{START + DAY:%Y-%m-%d}"}, [-300]),
    "not day": ({"not_residential_ledger_period_date": f"{START + DAY:%Y-%m-%d}"}, [-30, 200, -50, 1000]),
    "until day": ({"max_residential_ledger_period_date": f"{START + DAY:%Y-%m-%d}"}, [-300, 1000]),
    "since day": ({"min_residential_ledger_period_date": f"{START + 3 * DAY:%Y-%m-%d}"}, [-30, 200]),
    "second": ({"residential_ledger_creation_datetime": f"{START + DAY:%Y-%m-%d %H:%M:%S}"}, [-300]),
    "a date means its whole day": ({"residential_ledger_creation_datetime": f"{START + DAY:%Y-%m-%d}"}, [-300]),
    "until a date": ({"max_residential_ledger_creation_datetime": f"{START + DAY:%Y-%m-%d}"}, [-300, 1000]),
    "since a second": ({"min_residential_ledger_last_update_datetime": f"{START + 4 * DAY:%Y-%m-%dT%H:%M:%SZ}"}, [-30]),
    "adjustment": ({"service_adjustment_id": "1"}, [200]),
    "not adjustment": ({"not_service_adjustment_id": "1"}, [-30, -50, -300, 1000]),
    "empty": ({"residential_ledger_bytes": "", "sort_by": "", "page": ""}, [-30, 200, -50, -300, 1000]),
    "unknown": ({"min_port": "x", "not_not_service_id": "x"}, [-30, 200, -50, -300, 1000]),
    "sort": ({"sort_by": "residential_ledger_bytes"}, [-300, -50, -30, 200, 1000]),
    "sort up": ({"sort_by": "residential_ledger_bytes_asc"}, [-300, -50, -30, 200, 1000]),
    "sort down": ({"sort_by": "residential_ledger_bytes_desc"}, [1000, 200, -30, -50, -300]),
    "sort ties by id": ({"sort_by": "customer_id"}, [1000, -300, -50, 200, -30]),
    "page": ({"page": "2", "per_page": "2"}, [-50, -300]),
    "page past the end": ({"page": "1000000000"}, []),
}


def test_a_search_applies_each_filter_and_sort(api: APIClient, order: Order) -> None:
    found = {name: column(search(api, **query), "bytes") for name, (query, _) in FILTERS.items()}
    assert found == {name: expected for name, (_, expected) in FILTERS.items()}


def test_a_search_by_ids_finds_only_own_entries(
    api: APIClient, order: Order, alice: User, make_order: Callable[..., Order]
) -> None:
    other = make_order(alice, limit=7)
    assert column(search(api, service_id=other.published_id), "bytes") == [7]
    assert len(search(api, not_service_id=other.published_id)["data"]) == 5
    assert len(search(api, customer_id=alice.pk)["data"]) == 6
    entry = search(api, service_id=other.published_id)["data"][0]
    assert search(api, residential_ledger_id=entry["residential_ledger_id"])["data"] == [entry]


def test_ids_of_others_are_not_found_whether_or_not_they_exist(
    api: APIClient, order: Order, bob: User, make_order: Callable[..., Order], client_for: Callable[..., APIClient]
) -> None:
    foreign = make_order(bob, limit=7)
    [entry] = search(client_for(bob))["data"]
    for query in (
        {"service_id": foreign.published_id},
        {"not_service_id": foreign.published_id},
        {"service_id": "nonsense"},
        {"service_id": "1"},
        {"customer_id": bob.pk},
        {"customer_id": "x" * 300},
        {"not_customer_id": bob.pk},
        {"residential_ledger_id": entry["residential_ledger_id"]},
        {"residential_ledger_id": "\x00"},
    ):
        assert search(api, status=404, **query)["error"] == "Not Found"
    assert api.get(f"/residential_ledger/retrieve/{entry['residential_ledger_id']}").status_code == 404
    assert api.get(f"/residential_ledger/retrieve/{order.published_id}").status_code == 404


HOSTILE: dict[str, tuple[dict[str, Any], int, str]] = {
    "text for a number": ({"residential_ledger_bytes": "many"}, 400, "residential_ledger_bytes"),
    "a fraction": ({"min_residential_ledger_bytes": "1.5"}, 400, "min_residential_ledger_bytes"),
    "a huge number": ({"min_residential_ledger_bytes": "9" * 40}, 400, "min_residential_ledger_bytes"),
    "no date": ({"residential_ledger_period_date": "yesterday"}, 400, "residential_ledger_period_date"),
    "no such date": ({"max_residential_ledger_creation_datetime": "2024-02-30"}, 400, "creation_datetime"),
    "twice": ({"residential_ledger_bytes": ["1", "2"]}, 400, "residential_ledger_bytes"),
    "a list": ({"service_id[]": "x"}, 400, "service_id[]: Takes one value: write service_id=…"),
    "a list of the least": ({"min_residential_ledger_bytes[]": ["1", "2"]}, 400, "min_residential_ledger_bytes[]"),
    "a numbered list": ({"service_id[0]": "x"}, 400, "service_id[0]: Takes one value: write service_id=…"),
    "an operator in brackets": ({"residential_ledger_bytes[gte]": "1"}, 400, "residential_ledger_bytes[gte]"),
    "a list of sorts": ({"sort_by[]": "service_id"}, 400, "sort_by[]: Takes one value: write sort_by=…"),
    "a numbered page": ({"page[number]": "2"}, 400, "page[number]: Takes one value: write page=…"),
    "a numbered list of a field that is not stored": ({"proxy_id[0]": "1"}, 422, "proxy_id[0]"),
    "two pages": ({"page": ["1", "2"]}, 400, "page"),
    "page x": ({"page": "x"}, 400, "page"),
    "page 0": ({"page": "0"}, 422, "page"),
    "page -1": ({"page": "-1"}, 422, "page"),
    "per_page 0": ({"per_page": "0"}, 422, "per_page"),
    "per_page 101": ({"per_page": "101"}, 422, "per_page"),
    "unknown sort": ({"sort_by": "note"}, 422, "sort_by"),
    "sort by nothing": ({"sort_by": "_asc"}, 422, "sort_by"),
    "sort in both directions": ({"sort_by": "residential_ledger_bytes_asc_desc"}, 422, "sort_by"),
    "sort by another network": ({"sort_by": "mobile_ledger_bytes"}, 422, "sort_by"),
    "min of an id": ({"min_service_id": "x"}, 422, "min_service_id"),
    "min of a text": ({"min_residential_ledger_reason": "usage"}, 422, "min_residential_ledger_reason"),
    "like a number": ({"like_residential_ledger_bytes": "1%"}, 422, "like_residential_ledger_bytes"),
    "a login": ({"proxy_user_id": "nobody"}, 422, "proxy_user_id"),
    "a field of the other ledger": ({"min_mobile_ledger_bytes": "1"}, 422, "min_mobile_ledger_bytes"),
    "a field of the log": ({"log_network": "mobile"}, 422, "log_network"),
    "a country": ({"not_country_id": "us"}, 422, "not_country_id"),
    "a field that is not stored": ({"exists_proxy_id": "1"}, 422, "exists_proxy_id"),
    "a list of a field that is not stored": ({"proxy_id[]": "1"}, 422, "proxy_id[]"),
    "unknown reason": ({"residential_ledger_reason": "gift"}, 422, "residential_ledger_reason"),
    "a long pattern": ({"like_residential_ledger_reason": "%a" * 200}, 422, "like_residential_ledger_reason"),
}


def test_a_search_names_the_malformed_or_unknown_parameter(api: APIClient, order: Order) -> None:
    for case, (query, status, named) in HOSTILE.items():
        error = search(api, status=status, **query)
        assert set(error) == {"error", "message", "api_request_id"}, case
        assert error["error"] == {400: "Bad Request", 422: "Unprocessable Entity"}[status], case
        assert named in error["message"], case


def test_pages_neither_overlap_nor_skip_under_ties(api: APIClient, order: Order) -> None:
    ids = [column(search(api, page=page, per_page=1, sort_by="customer_id_desc"), "id")[0] for page in range(1, 6)]
    assert len(set(ids)) == 5


def test_a_ledger_comes_as_csv(api: APIClient, order: Order) -> None:
    answer = api.get("/residential_ledger/search", {"format": "csv"})
    lines = answer.content.decode("utf-8-sig").splitlines()
    assert lines[0] == ",".join(FIELDS)
    assert len(lines) == 6


def test_times_are_in_the_requested_zone_and_days_stay_utc_days(api: APIClient, order: Order) -> None:
    """Nepal is ahead by five hours and three quarters the whole year."""
    name = "residential_ledger_creation_datetime"
    zone: dict[str, Any] = {"tz": "Asia/Kathmandu"}
    for shown, entry in zip(search(api, **zone)["data"], search(api)["data"], strict=True):
        at = datetime.fromisoformat(entry[name]) + timedelta(hours=5, minutes=45)
        assert shown[name] == f"{at:%Y-%m-%d %H:%M:%S}"
        assert shown["residential_ledger_period_date"] == entry["residential_ledger_period_date"]
        assert shown in search(api, **zone, **{name: shown[name]})["data"]
        assert shown[name] in api.get("/residential_ledger/search", {"format": "csv", **zone}).content.decode()


def test_the_newest_period_comes_first_whenever_it_was_posted(
    api: APIClient, alice: User, make_order: Callable[..., Order], clean_engine: Client
) -> None:
    """History that is imported today is about older days than the purchase before it."""
    order = make_order(alice, limit=1000, started_at=START, now=START)
    for days in (3, 1, 2):
        carry_and_post(order, START + days * DAY, days)
    page = search(api)
    assert column(page, "bytes") == [-3, -2, -1, 1000]
    assert column(search(api, per_page=2, page=2), "bytes") == [-1, 1000]


@pytest.mark.parametrize("name", ["residential_ledger_note", "exists_service_adjustment_id"])
def test_a_filter_by_a_field_that_is_not_stored_is_refused_by_name(name: str, api: APIClient, order: Order) -> None:
    assert f"{name}:" in search(api, status=422, **{name: "1"})["message"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_client_checks_its_keys_by_the_customer(
    prefix: str, api: APIClient, order: Order, alice: User, make_order: Callable[..., Order]
) -> None:
    make_order(alice, network=Network.MOBILE, limit=7, expires_at=NOW - DAY)
    suspended = make_order(alice, network=Network.RESIDENTIAL, limit=500, suspended_at=NOW)
    assert suspended.started_at > order.started_at
    answer = api.get(f"{prefix}/customer/retrieve")
    assert answer.json() == {
        "data": {
            "customer_id": alice.pk,
            "residential_bytes_left": 1000 - 350 + 200 - 30 + 500,
            "mobile_bytes_left": None,
            "active_residential_service_id": order.published_id,
            "active_mobile_service_id": None,
        },
        "message": "Customer successfully retrieved.",
    }
    assert APIClient().get(f"{prefix}/customer/retrieve").json()["error"] == "Unauthorized"


UNKNOWN_PATHS = ("", "proxy/search", "log", "log/search/", "log/retrieve/1/2", "a\nb", "log/search%00")


@pytest.mark.parametrize("path", UNKNOWN_PATHS)
@pytest.mark.parametrize("method", ["get", "head", "post", "put", "delete", "options"])
def test_bad_keys_are_unauthorized_on_every_path_under_the_long_prefix(
    path: str, method: str, api: APIClient, alice: User, client_for: Callable[..., APIClient]
) -> None:
    wrong = APIClient(raise_request_exception=False)
    key = "fnp_" + "0" * 64
    wrong.credentials(HTTP_X_API_PUBLIC_KEY=key[:8], HTTP_X_API_PRIVATE_KEY=key)
    for client, status, phrase in (
        (wrong, 401, "Unauthorized"),
        (APIClient(), 401, "Unauthorized"),
        (api, 404, "Not Found"),
    ):
        answer = getattr(client, method)(f"/1.0/public/user/{path}")
        assert answer.status_code == status
        if method != "head":
            assert answer.json()["error"] == phrase


PAIRS: dict[str, tuple[str | None, str | None]] = {
    "no private key": ("fnp_", None),
    "no public key": (None, "fnp_"),
    "another prefix": ("fnp_0000", "fnp_"),
    "the whole key as public key": ("all", "fnp_"),
    "no such key": ("fnp_", "fnp_" + "0" * 64),
    "nonsense": ("é", "é"),
}


@pytest.mark.parametrize(("public", "private"), PAIRS.values(), ids=PAIRS)
def test_a_wrong_pair_is_refused(
    public: str | None, private: str | None, alice: User, make_key: Callable[..., str], order: Order
) -> None:
    secret = make_key(alice)
    client = APIClient(raise_request_exception=False)
    known = {"fnp_": secret[:8], "all": secret}
    headers = {"X-Api-Key": secret}  # a valid credential beside a wrong pair does not help
    if public:
        headers["X-API-Public-Key"] = known.get(public, public)
    if private:
        headers["X-API-Private-Key"] = secret if private == "fnp_" else private
    answer = client.get("/residential/summary", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"] == "Unauthorized"


def test_key_pair_works_on_byteful_routes_only(api: APIClient, order: Order) -> None:
    assert api.get("/orders").status_code == 401


def test_a_key_pair_without_the_read_scope_is_forbidden(alice: User, make_key: Callable[..., str]) -> None:
    secret = make_key(alice, ("ingest",))
    headers = {"X-API-Public-Key": secret[:8], "X-API-Private-Key": secret}
    assert APIClient().get("/residential/summary", headers=headers).status_code == 403
