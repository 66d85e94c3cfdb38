"""A billing system manages orders under its own ids, and may send every call twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import applications, team
from accounts.models import ApiKey, Application, Invitation, Membership, Role, User
from analytics.apinalytics.ingest_columns import to_columns
from fonproxy.clickhouse.client import Client
from orders import enforcement, proxy_users
from orders import services as order_services
from orders.models import Erasure, LedgerEntry, Order, ProxyUser
from orders.periods import Every, RecurringPeriod
from tests.analytics.helpers import TABLES, counted, engine_unavailable
from tests.usage.helpers import carry, carry_and_post, credits_of
from usage import metering, tasks

GB = 2**30


@pytest.fixture
def shop(staff: User, client_for: Callable[..., APIClient], clean_engine: Client) -> Callable[..., Any]:
    client = client_for(staff)

    def call(method: str, path: str, **body: Any) -> Any:
        return client.generic(method, f"/provisioning/{path}", json.dumps(body), content_type="application/json")

    return call


@pytest.fixture
def sold(shop: Callable[..., Any]) -> Order:
    assert shop("PUT", "users/c-1", username="carol", email="carol@example.com").status_code == 201
    assert put_order(shop).status_code == 201
    return Order.objects.get()


def put_order(shop: Callable[..., Any], external_id: str = "o-1", **changes: Any) -> Any:
    body = {
        "user": "c-1",
        "name": "Residential 10 GB",
        "proxyType": "residential-giga",
        "trafficLimitBytes": 10 * GB,
        "proxyUsers": ["carol-1", "carol-2"],
    } | changes
    return shop("PUT", f"orders/{external_id}", **body)


@pytest.mark.parametrize("email", ["nobody", "a@" + "\u00fc" * 60 + ".com", "a@\u05d0a1.com"])
def test_a_customer_without_an_address_that_mail_can_be_sent_to_is_refused(
    email: str, shop: Callable[..., Any]
) -> None:
    answer = shop("PUT", "users/c-9", email=email)
    assert answer.status_code == 400
    assert [(found["field"], found["message"]) for found in answer.json()["errors"]] == [
        ("email", "Enter a valid email address.")
    ]
    assert not User.objects.filter(external_id="c-9").exists()


KIM = "kim@example.com"


@pytest.fixture
def kim(alice: User) -> User:
    """A member who joined alice's team by a mailed invitation."""
    kim = team.new_person(Invitation(account=alice, address=KIM))
    kim.set_password("a horse that is right")
    kim.save()
    Membership.objects.create(account=alice, person=kim, role=Role.VIEWER, created_at=timezone.now())
    return kim


def test_a_team_member_who_buys_becomes_a_customer(shop: Callable[..., Any], kim: User) -> None:
    answer = shop("PUT", "users/c-9", username=KIM, email="Kim@example.com")
    assert (answer.status_code, answer.json()["user"]["userId"]) == (201, kim.pk)
    assert shop("PUT", "users/c-9", username=KIM, email="Kim@example.com").status_code == 200
    assert put_order(shop, user="c-9").status_code == 201
    assert shop("PUT", "users/c-10", username=KIM, email=KIM).status_code == 409
    kim.refresh_from_db()
    assert (kim.email, kim.check_password("a horse that is right"), kim.memberships.count()) == (KIM, True, 1)
    assert [order.external_id for order in kim.orders.all()] == ["o-1"]


@pytest.mark.parametrize(
    ("fields", "given"),
    [
        ({}, {"email": "other@example.com"}),
        ({}, {}),
        ({"email": "other@example.com"}, {"email": KIM}),
        ({"email": "other@example.com"}, {"email": "other@example.com"}),
        ({"external_id": "c-1"}, {"email": KIM}),
        ({"is_staff": True}, {"email": KIM}),
        ({"is_superuser": True}, {"email": KIM}),
        ({"is_active": False}, {"email": KIM}),
    ],
)
def test_no_other_account_is_adopted_by_its_name(
    shop: Callable[..., Any], kim: User, fields: dict[str, Any], given: dict[str, Any]
) -> None:
    User.objects.filter(pk=kim.pk).update(**fields)
    assert shop("PUT", "users/c-9", username=KIM, **given).status_code == 409
    assert not User.objects.filter(external_id="c-9").exists()


def test_an_account_with_orders_of_other_origin_is_not_adopted(
    shop: Callable[..., Any], kim: User, make_order: Callable[..., Order]
) -> None:
    make_order(kim)
    assert shop("PUT", "users/c-9", username=KIM, email=KIM).status_code == 409


def test_a_repeated_put_does_not_undo_later_changes(shop: Callable[..., Any], sold: Order) -> None:
    first, renewed = timezone.now() + timedelta(days=30), timezone.now() + timedelta(days=60)
    body: dict[str, Any] = {"expiresAt": first.isoformat(), "trafficLimitBytes": 10 * GB}
    assert put_order(shop, **body).status_code == 200
    assert (
        shop("POST", "orders/o-1/renewals", reference="r", bytes=20 * GB, expiresAt=renewed.isoformat()).status_code
        == 201
    )
    before = shop("GET", "orders/o-1").json()
    entries = LedgerEntry.objects.count()
    for _ in range(2):
        assert put_order(shop, **body).status_code == 200
    assert shop("GET", "orders/o-1").json() == before
    assert LedgerEntry.objects.count() == entries
    later = renewed + timedelta(days=30)
    changed = put_order(shop, **{**body, "expiresAt": later.isoformat()}).json()["order"]
    assert changed["trafficLimitBytes"] == 20 * GB
    assert changed["expiresAt"][:19] == later.isoformat()[:19]
    assert put_order(shop, **{**body, "trafficLimitBytes": 11 * GB}).json()["order"]["trafficLimitBytes"] == 11 * GB


def test_a_repeated_put_does_not_undo_changes_by_staff(shop: Callable[..., Any], sold: Order) -> None:
    ends = timezone.now() + timedelta(days=90)
    order_services.change(
        sold,
        author="staff",
        now=timezone.now(),
        name="Renamed",
        limit_bytes=None,
        started_at=sold.started_at,
        expires_at=ends,
        period=None,
        day_limit_bytes=None,
    )
    assert put_order(shop).status_code == 200
    sold.refresh_from_db()
    assert (sold.name, sold.traffic_limit_bytes, sold.expires_at) == ("Renamed", None, ends)


def test_an_expired_order_cannot_be_resumed(shop: Callable[..., Any], sold: Order) -> None:
    assert shop("POST", "orders/o-1/suspend").status_code == 200
    assert shop("POST", "orders/o-1/expire").json()["order"]["state"] == "expired"
    refused = shop("POST", "orders/o-1/resume")
    assert refused.status_code == 409
    assert "renew" in refused.json()["detail"]
    assert shop("GET", "orders/o-1").json()["order"]["state"] == "expired"


MONTHLY = {"every": "month", "anchor": "2026-11-01", "timezone": "Europe/Berlin", "rollover": True}


def test_a_period_is_put_read_and_removed(shop: Callable[..., Any], sold: Order) -> None:
    answer = put_order(shop, period=MONTHLY).json()["order"]
    assert answer["period"] == MONTHLY
    renews = datetime.fromisoformat(answer["renewsAt"]).astimezone(ZoneInfo("Europe/Berlin"))
    assert (renews.day, renews.hour) == (1, 0)
    assert renews > timezone.now()
    assert put_order(shop).json()["order"]["period"] == MONTHLY  # not given: unchanged
    assert shop("GET", "orders/o-1").json()["order"]["renewsAt"] == answer["renewsAt"]
    removed = put_order(shop, period=None).json()["order"]
    assert (removed["period"], removed["renewsAt"]) == (None, None)
    short = put_order(shop, "o-2", proxyUsers=[], period={"every": "day", "anchor": "2026-11-01"}).json()["order"]
    assert short["period"] == {"every": "day", "anchor": "2026-11-01", "timezone": "UTC", "rollover": False}


def test_a_repeated_put_does_not_undo_the_period_that_staff_set(shop: Callable[..., Any], sold: Order) -> None:
    assert put_order(shop, period=MONTHLY).status_code == 200
    weekly = RecurringPeriod(Every.WEEK, date(2026, 11, 2))
    sold.refresh_from_db()
    order_services.change(
        sold,
        author="staff",
        now=timezone.now(),
        name=sold.name,
        limit_bytes=sold.traffic_limit_bytes,
        started_at=sold.started_at,
        expires_at=None,
        period=weekly,
        day_limit_bytes=None,
    )
    assert put_order(shop, period=MONTHLY).json()["order"]["period"]["every"] == "week"
    assert put_order(shop, period={**MONTHLY, "every": "day"}).json()["order"]["period"]["every"] == "day"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"every": "year"}, "every"),
        ({"every": None}, "every"),
        ({"anchor": "2026-02-30"}, "anchor"),
        ({"anchor": "1999-12-31"}, "anchor"),
        ({"anchor": "2101-01-01"}, "anchor"),
        ({"anchor": 20261101}, "anchor"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"timezone": ["UTC"]}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"),
        ({"rollover": "maybe"}, "rollover"),
    ],
)
def test_a_malformed_period_is_named_and_changes_nothing(
    shop: Callable[..., Any], sold: Order, changes: dict[str, Any], field: str
) -> None:
    refused = put_order(shop, period=MONTHLY | changes)
    assert refused.status_code == 400
    assert field in json.dumps(refused.json())
    sold.refresh_from_db()
    assert sold.period is None


@pytest.mark.parametrize("period", ["month", [], 7, {}])
def test_a_period_is_an_object_with_its_fields(shop: Callable[..., Any], sold: Order, period: Any) -> None:
    assert put_order(shop, period=period).status_code == 400


def limits_of(login: str) -> tuple[int | None, ...]:
    return tuple(ProxyUser.objects.get(login=login).limits)


def test_repeating_a_put_of_login_limits_does_not_undo_the_customers_changes(
    shop: Callable[..., Any], sold: Order
) -> None:
    body: dict[str, Any] = {
        "proxyUsers": [{"login": "carol-1", "limits": {"dayBytes": GB, "totalBytes": 9 * GB}}, "carol-2"]
    }
    assert put_order(shop, **body).status_code == 200
    assert (limits_of("carol-1"), limits_of("carol-2")) == ((GB, None, 9 * GB), (None, None, None))
    proxy_users.change_by_owner(ProxyUser.objects.get(login="carol-1"), {"limits": {"dayBytes": 2 * GB}})
    assert put_order(shop, **body).status_code == 200
    assert limits_of("carol-1") == (2 * GB, None, 9 * GB)
    body["proxyUsers"][0] = {"login": "carol-1", "limits": {"dayBytes": None}}
    assert put_order(shop, **body).status_code == 200
    assert limits_of("carol-1") == (None, None, 9 * GB)


@pytest.mark.parametrize(
    "limits", [{"dayBytes": 0}, {"dayBytes": 2**53}, {"monthBytes": "5"}, {"totalBytes": True}, [], None]
)
def test_malformed_login_limits_are_named_and_change_nothing(
    shop: Callable[..., Any], sold: Order, limits: Any
) -> None:
    refused = put_order(shop, proxyUsers=["carol-2", {"login": "carol-1", "limits": limits}])
    assert refused.status_code == 400
    assert "limits" in json.dumps(refused.json())
    assert limits_of("carol-1") == (None, None, None)


def test_a_daily_limit_is_for_orders_without_a_traffic_limit(shop: Callable[..., Any], sold: Order) -> None:
    fair: dict[str, Any] = {"trafficLimitBytes": None, "limits": {"dayBytes": GB}}
    assert put_order(shop, **fair).json()["order"]["dayLimitBytes"] == GB
    assert put_order(shop, trafficLimitBytes=None).json()["order"]["dayLimitBytes"] == GB
    removed = put_order(shop, trafficLimitBytes=None, limits={"dayBytes": None})
    assert removed.json()["order"]["dayLimitBytes"] is None
    refused = put_order(shop, limits={"dayBytes": GB})
    assert refused.status_code == 400
    assert "Only an order without a traffic limit" in json.dumps(refused.json())


def feed(shop: Callable[..., Any], since: str = "0") -> tuple[list[tuple[str, str, list[str]]], str]:
    """External id, state and logins of each change after that cursor, and the next cursor."""
    answer = shop("GET", f"exhausted?since={since}").json()
    return [(c["externalId"], c["state"], c["proxyUsers"]) for c in answer["changes"]], answer["cursor"]


def test_a_customer_and_an_order_are_made_by_external_id(shop: Callable[..., Any], sold: Order) -> None:
    answer = shop("GET", "orders/o-1").json()["order"]
    assert answer | {"startsAt": "", "id": "", "orderId": 0} == {
        "externalId": "o-1", "id": "", "orderId": 0, "user": "c-1", "name": "Residential 10 GB",
        "proxyType": "residential-giga", "network": "residential", "state": "active",
        "trafficLimitBytes": 10 * GB, "addedBytes": 0, "bytesLeft": 10 * GB,
        "startsAt": "", "expiresAt": None, "period": None, "renewsAt": None, "dayLimitBytes": None,
        "proxyUsers": ["carol-1", "carol-2"],
    }  # fmt: skip
    assert sold.user.email == "carol@example.com"
    assert not sold.user.has_usable_password()


def test_the_same_put_twice_changes_nothing(shop: Callable[..., Any], sold: Order) -> None:
    before = shop("GET", "orders/o-1").json()
    assert shop("PUT", "users/c-1", username="carol", email="carol@example.com").status_code == 200
    assert shop("PUT", "users/c-1").json()["user"]["username"] == "carol"
    assert put_order(shop).status_code == 200
    assert shop("GET", "orders/o-1").json() == before
    assert credits_of(sold) == [("service_purchase", 10 * GB)]


def test_a_repeat_of_an_old_put_leaves_an_address_that_the_customer_changed(
    shop: Callable[..., Any], sold: Order
) -> None:
    User.objects.filter(pk=sold.user_id).update(email="new@example.com")
    answer = shop("PUT", "users/c-1", username="carol", email="carol@example.com")
    assert answer.json()["user"]["email"] == "new@example.com"
    assert shop("PUT", "users/c-1", email="other@example.com").json()["user"]["email"] == "other@example.com"


def test_an_old_put_after_a_top_up_does_not_take_it_away(shop: Callable[..., Any], sold: Order) -> None:
    assert shop("POST", "orders/o-1/top-ups", reference="t", bytes=GB).status_code == 201
    assert put_order(shop).json()["order"]["bytesLeft"] == 11 * GB


def test_a_put_changes_the_fields_it_gives(shop: Callable[..., Any], sold: Order) -> None:
    end = "2090-01-01T00:00:00Z"
    answer = put_order(shop, name="Bigger", trafficLimitBytes=20 * GB, expiresAt=end, proxyUsers=["carol-2", "carol-3"])
    order = answer.json()["order"]
    assert (order["name"], order["bytesLeft"], order["expiresAt"]) == ("Bigger", 20 * GB, end)
    assert order["proxyUsers"] == ["carol-2", "carol-3"]
    assert credits_of(sold) == [("service_purchase", 10 * GB), ("adjustment", 10 * GB)]


@pytest.mark.parametrize("kind", ["top-ups", "refunds", "adjustments", "renewals"])
def test_the_same_reference_twice_adds_nothing_and_with_another_amount_is_a_conflict(
    shop: Callable[..., Any], sold: Order, kind: str
) -> None:
    statuses = [shop("POST", f"orders/o-1/{kind}", reference="r", bytes=size).status_code for size in (GB, GB, 2 * GB)]
    assert statuses == [201, 200, 409]
    assert LedgerEntry.objects.filter(order=sold, reference="r").count() == 1


def test_a_renewal_begins_with_the_whole_limit_again(shop: Callable[..., Any], sold: Order) -> None:
    carry_and_post(sold, timezone.now(), 4 * GB)
    order = shop("POST", "orders/o-1/renewals", reference="n", expiresAt="2090-01-01").json()["order"]
    assert (order["bytesLeft"], order["expiresAt"]) == (10 * GB, "2090-01-02T00:00:00Z")
    assert credits_of(sold) == [("service_purchase", 10 * GB), ("adjustment", -6 * GB), ("service_purchase", 10 * GB)]


def test_stopped_and_reactivated_orders_are_listed_in_order(shop: Callable[..., Any], sold: Order) -> None:
    for number in (2, 3):
        put_order(shop, f"o-{number}", proxyUsers=[f"login-{number}"])
    assert shop("GET", "exhausted").json() == {"changes": [], "cursor": "0", "hasMore": False}
    carry_and_post(sold, timezone.now(), 10 * GB)
    shop("POST", "orders/o-2/suspend")
    shop("POST", "orders/o-3/expire")
    told = shop("GET", "exhausted").json()
    assert [(change["externalId"], change["state"]) for change in told["changes"]] == [
        ("o-1", "exhausted"),
        ("o-2", "suspended"),
        ("o-3", "expired"),
    ]
    assert told["changes"][0]["proxyUsers"] == ["carol-1", "carol-2"]
    assert shop("GET", f"exhausted?since={told['cursor']}").json()["changes"] == []
    shop("POST", "orders/o-1/top-ups", reference="t", bytes=1)
    shop("POST", "orders/o-2/resume")
    shop("POST", "orders/o-3/renewals", reference="n", expiresAt="2090-01-01")
    since = shop("GET", f"exhausted?since={told['cursor']}").json()
    assert [(change["externalId"], change["state"]) for change in since["changes"]] == [
        (f"o-{number}", "active") for number in (1, 2, 3)
    ]
    page = shop("GET", "exhausted?limit=1").json()
    assert (len(page["changes"]), page["hasMore"]) == (1, True)


def test_logins_that_move_between_orders_have_the_state_of_their_order(shop: Callable[..., Any], sold: Order) -> None:
    shop("POST", "orders/o-1/suspend")
    changes, cursor = feed(shop)
    assert changes == [("o-1", "suspended", ["carol-1", "carol-2"])]
    put_order(shop, proxyUsers=["carol-1", "new"])
    changes, cursor = feed(shop, cursor)
    assert changes == [("o-1", "suspended", ["carol-1", "new"])]
    put_order(shop, "o-2", proxyUsers=["carol-3"])
    assert feed(shop, cursor)[0] == []
    put_order(shop, "o-2", proxyUsers=["carol-2", "carol-3"])
    assert feed(shop, cursor)[0] == [("o-2", "active", ["carol-2", "carol-3"])]


def test_repeating_a_put_of_a_suspended_order_publishes_nothing(shop: Callable[..., Any], sold: Order) -> None:
    shop("POST", "orders/o-1/suspend")
    _, cursor = feed(shop)
    assert put_order(shop).status_code == 200
    assert feed(shop, cursor) == ([], cursor)


def test_a_login_of_an_erased_order_is_published_as_active_when_another_order_gets_it(
    shop: Callable[..., Any], sold: Order
) -> None:
    shop("PUT", "users/c-2")
    assert put_order(shop, "o-2", user="c-2", proxyUsers=["login-2"]).status_code == 201
    shop("DELETE", "users/c-1")
    changes, cursor = feed(shop)
    assert changes == [("o-1", "expired", ["carol-1", "carol-2"])]
    put_order(shop, "o-2", user="c-2", proxyUsers=["carol-1", "login-2"])
    assert feed(shop, cursor)[0] == [("o-2", "active", ["carol-1", "login-2"])]


def test_an_order_whose_erasure_is_unfinished_is_published_only_as_expired(
    shop: Callable[..., Any], sold: Order
) -> None:
    shop("POST", "orders/o-1/suspend")
    with engine_unavailable():
        assert shop("DELETE", "users/c-1").status_code == 503
    expired = [("o-1", "expired", ["carol-1", "carol-2"])]
    assert feed(shop)[0] == expired
    shop("POST", "orders/o-1/resume")
    assert feed(shop)[0] == expired


def test_a_page_of_the_feed_merges_erased_and_existing_orders_by_number(shop: Callable[..., Any], sold: Order) -> None:
    shop("PUT", "users/c-2")
    for number in (2, 3):
        put_order(shop, f"o-{number}", user="c-2", proxyUsers=[f"login-{number}"])
    shop("POST", "orders/o-2/suspend")
    shop("DELETE", "users/c-1")
    shop("POST", "orders/o-3/suspend")
    ids, cursor, has_more = [], "0", True
    while has_more:
        page = shop("GET", f"exhausted?since={cursor}&limit=1").json()
        ids += [change["externalId"] for change in page["changes"]]
        cursor, has_more = page["cursor"], page["hasMore"]
    assert ids == ["o-2", "o-1", "o-3"]


def test_a_planned_suspension_is_published_once_when_its_time_comes(shop: Callable[..., Any], sold: Order) -> None:
    begins = timezone.now() + timedelta(hours=1)
    Order.objects.filter(pk=sold.pk).update(suspended_at=begins)
    assert enforcement.publish_overdue(begins - timedelta(microseconds=1)) == 0
    assert feed(shop)[0] == []
    assert [enforcement.publish_overdue(begins) for _ in range(2)] == [1, 0]
    changes, cursor = feed(shop)
    assert changes == [("o-1", "suspended", ["carol-1", "carol-2"])]
    assert enforcement.publish_overdue(begins + timedelta(hours=1)) == 0
    assert feed(shop, cursor)[0] == []


def test_a_planned_suspension_of_an_exhausted_order_is_published_and_one_of_an_expired_order_is_not(
    shop: Callable[..., Any], sold: Order
) -> None:
    put_order(shop, "o-2", proxyUsers=["login-2"])
    carry_and_post(sold, timezone.now(), 10 * GB)
    shop("POST", "orders/o-2/expire")
    changes, cursor = feed(shop)
    assert [(order, state) for order, state, _ in changes] == [("o-1", "exhausted"), ("o-2", "expired")]
    begins = timezone.now() + timedelta(hours=1)
    Order.objects.update(suspended_at=begins)
    assert enforcement.publish_overdue(begins) == 1
    assert feed(shop, cursor)[0] == [("o-1", "suspended", ["carol-1", "carol-2"])]


def test_the_accounting_task_publishes_suspensions_and_ends_whose_time_has_come(
    shop: Callable[..., Any], sold: Order
) -> None:
    put_order(shop, "o-2", proxyUsers=["login-2"])
    past = timezone.now() - timedelta(seconds=1)
    Order.objects.filter(external_id="o-1").update(suspended_at=past)
    Order.objects.filter(external_id="o-2").update(started_at=past, expires_at=past)
    tasks.keep_accounts()
    assert sorted(feed(shop)[0]) == [
        ("o-1", "suspended", ["carol-1", "carol-2"]),
        ("o-2", "expired", ["login-2"]),
    ]


def test_the_feed_lists_an_erased_order_for_a_month(shop: Callable[..., Any], sold: Order) -> None:
    shop("DELETE", "users/c-1")
    [change] = shop("GET", "exhausted").json()["changes"]
    assert (change["externalId"], change["state"], change["proxyUsers"]) == ("o-1", "expired", ["carol-1", "carol-2"])
    enforcement.forget_erased(timezone.now() + timedelta(days=31))
    assert shop("GET", "exhausted").json()["changes"] == []


def test_an_order_expires_at_its_end(shop: Callable[..., Any], sold: Order) -> None:
    soon = timezone.now() + timedelta(hours=1)
    put_order(shop, expiresAt=soon.isoformat())
    order_services.close_expired(soon)
    assert shop("GET", "exhausted").json()["changes"][0]["state"] == "expired"
    assert shop("POST", "orders/o-1/top-ups", reference="t", bytes=1).status_code == 409


BAD_ORDERS = {
    "an unknown customer": {"user": "nobody"},
    "a limit as text": {"trafficLimitBytes": "5"},
    "a limit that is a truth value": {"trafficLimitBytes": True},
    "a limit below zero": {"trafficLimitBytes": -1},
    "a limit beyond what is exact": {"trafficLimitBytes": 2**53},
    "a fraction": {"trafficLimitBytes": 1.5},
    "an unknown proxy type": {"proxyType": "satellite"},
    "no name": {"name": ""},
    "a NUL": {"name": "a\0b"},
    "half a surrogate": {"name": "a\ud800"},
    "a time that is none": {"expiresAt": "tomorrow"},
    "logins that are no list": {"proxyUsers": "carol"},
    "a login that is no text": {"proxyUsers": [1]},
    "a login that is empty": {"proxyUsers": [""]},
    "half a surrogate as login": {"proxyUsers": ["\ud800"]},
}


@pytest.mark.parametrize("changes", BAD_ORDERS.values(), ids=BAD_ORDERS)
def test_a_bad_order_is_refused_and_changes_nothing(
    shop: Callable[..., Any], sold: Order, changes: dict[str, Any]
) -> None:
    before = shop("GET", "orders/o-1").json()
    answer = put_order(shop, **changes)
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"][0]["field"].split(".")[0] in changes
    assert shop("GET", "orders/o-1").json() == before


def test_contradictory_changes_are_a_conflict_and_change_nothing(shop: Callable[..., Any], sold: Order) -> None:
    shop("PUT", "users/c-2")
    put_order(shop, "o-2", user="c-2", proxyUsers=["taken"])
    assert put_order(shop, user="c-2").status_code == 409
    assert put_order(shop, proxyType="mobile-giga").status_code == 409
    assert put_order(shop, name="new", proxyUsers=["taken"]).status_code == 409
    assert shop("PUT", "users/c-2", username="carol").status_code == 409
    assert Order.objects.get(external_id="o-1").name == "Residential 10 GB"
    assert ProxyUser.objects.get(login="taken").order.external_id == "o-2"


def test_unknown_and_malformed_ids_are_named(shop: Callable[..., Any], sold: Order) -> None:
    assert shop("GET", "orders/nothing").status_code == 404
    assert shop("POST", "orders/nothing/top-ups", reference="r", bytes=1).status_code == 404
    assert shop("DELETE", "users/nobody").status_code == 404
    assert shop("PUT", "users/" + "x" * 129).status_code == 400
    assert put_order(shop, "with%20space").status_code == 400
    assert shop("GET", "exhausted?since=-1").status_code == 400


def test_an_erased_customer_leaves_nothing_in_either_store(
    shop: Callable[..., Any], sold: Order, alice: User, make_order: Callable[..., Order], make_key: Any, engine: Client
) -> None:
    other = make_order(alice)
    carry_and_post(sold, timezone.now(), 5)
    carry_and_post(other, timezone.now(), 7)
    make_key(sold.user)
    application, _ = applications.create(sold.user, "an API", timezone.now())
    kept, _ = applications.create(alice, "another API", timezone.now())
    for owner in (application, kept):
        event = {"timestamp": int(time.time()), "method": "GET", "url": "/", "response_us": 1, "status_code": 200}
        engine.insert("events", to_columns(json.dumps([event]).encode(), owner, timezone.now()), token=str(owner.pk))
    answer = shop("DELETE", "users/c-1")
    assert answer.status_code == 200, answer.content
    erased = answer.json()["erased"]
    assert {erased[table] for table in (*TABLES, "events", "applications")} == {1}
    assert (erased["orders"], erased["users"], erased["ledger_entries"], erased["proxy_users"]) == (1, 1, 2, 2)
    assert not User.objects.filter(external_id="c-1").exists()
    assert LedgerEntry.objects.exclude(order=other).count() == ApiKey.objects.count() == Erasure.objects.count() == 0
    assert {counted(engine, table) for table in (*TABLES, "events")} == {(1, 1)}
    assert list(Application.objects.all()) == [kept]
    assert shop("DELETE", "users/c-1").status_code == 404
    metering.post_usage(timezone.now())


def test_a_customer_is_not_erased_while_traffic_is_in_the_journal(shop: Callable[..., Any], sold: Order) -> None:
    with engine_unavailable():
        carry(sold, timezone.now(), 5)
        answer = shop("DELETE", "users/c-1")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert Order.objects.filter(pk=sold.pk).exists()


def test_staff_are_not_erased(shop: Callable[..., Any], staff: User) -> None:
    User.objects.filter(pk=staff.pk).update(external_id="s-1")
    assert shop("DELETE", "users/s-1").status_code == 409


@pytest.mark.parametrize("flag", ["is_staff", "is_superuser"])
def test_accounts_of_staff_are_never_changed(shop: Callable[..., Any], alice: User, flag: str) -> None:
    User.objects.filter(pk=alice.pk).update(external_id="s-1", **{flag: True})
    order = {"user": "s-1", "name": "x", "proxyType": "residential-giga", "trafficLimitBytes": 5}
    assert shop("PUT", "users/s-1", email="thief@example.com").status_code == 409
    assert shop("PUT", "orders/o-2", **order).status_code == 409
    assert shop("DELETE", "users/s-1").status_code == 409
    alice.refresh_from_db()
    assert (alice.email, alice.is_active, alice.orders.count()) == ("alice@example.com", True, 0)


def test_a_new_address_notifies_the_old_one(
    shop: Callable[..., Any], sold: Order, sent: Callable[..., list[Any]]
) -> None:
    assert shop("PUT", "users/c-1", email="new@example.com").status_code == 200
    [mail] = sent()
    assert mail.to == ["carol@example.com"]
    assert "the e-mail address was changed" in mail.body
    assert "new@example.com" not in mail.body


def test_an_unchanged_address_sends_no_notice(
    shop: Callable[..., Any], sold: Order, sent: Callable[..., list[Any]]
) -> None:
    assert shop("PUT", "users/c-1", email="carol@example.com").status_code == 200
    assert sent() == []


@pytest.mark.parametrize("route", ["top-ups", "refunds", "adjustments", "renewals"])
def test_a_reference_in_the_format_of_automatic_renewals_is_refused(
    route: str, shop: Callable[..., Any], sold: Order
) -> None:
    refused = shop("POST", f"orders/o-1/{route}", reference="period-2026-12-01", bytes=1)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "reference")
    assert LedgerEntry.objects.count() == 1


def test_a_put_is_repeated_for_an_order_that_was_ended_before_its_start(shop: Callable[..., Any], sold: Order) -> None:
    starts = timezone.now() + timedelta(days=30)
    body = {"startsAt": starts.isoformat(), "proxyUsers": []}
    assert put_order(shop, "o-2", **body).status_code == 201
    ended = shop("POST", "orders/o-2/expire").json()["order"]
    assert put_order(shop, "o-2", **body).json()["order"] == ended
    too_early = (starts - timedelta(days=1)).isoformat()
    for refused in (
        put_order(shop, "o-2", **body, expiresAt=too_early),
        shop("POST", "orders/o-2/renewals", reference="r", expiresAt=too_early),
    ):
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "expiresAt")
    later = (starts + timedelta(days=1)).isoformat()
    assert shop("POST", "orders/o-2/renewals", reference="r", expiresAt=later).status_code == 201


def test_an_order_has_as_many_logins_as_are_allowed(shop: Callable[..., Any], sold: Order) -> None:
    logins = [f"customer-{number:05}" for number in range(10_000)]
    assert put_order(shop, "o-2", proxyUsers=logins).json()["order"]["proxyUsers"] == logins
    assert put_order(shop, "o-2", proxyUsers=[*logins, "another"]).status_code == 400
    assert put_order(shop, "o-2", proxyUsers=["x" * 2**21]).status_code == 413
    assert shop("POST", "orders/o-2/top-ups", reference="r", bytes=1, note="x" * 2**16).status_code == 413
