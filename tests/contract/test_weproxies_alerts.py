"""The alert routes of the published WeProxies usage reference, and what the contract adds to them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import Network, Order, User
from fonproxy.clickhouse.client import Client

GB = 2**30
URL = "https://93.184.216.34/hook"


@pytest.fixture
def api(alice: User, client_for: Callable[..., APIClient], clean_engine: Client) -> APIClient:
    return client_for(alice)


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order], settings: Any) -> Order:
    settings.DEFAULT_ALERTS = False
    return make_order(alice, limit=10 * GB)


def call(api: APIClient, method: str, path: str = "", expected: int = 200, /, **body: Any) -> Any:
    answer = getattr(api, method)(f"/api/v1/usage/alerts{path}", body or None, format="json")
    assert answer.status_code == expected, answer.content
    if expected == 204:
        return None
    told = answer.json()
    assert told["success"] is (expected < 300)
    return told["data"] if expected < 300 else told["error"]


def documented(order: Order, **changes: Any) -> dict[str, Any]:
    given = {"subscription_id": f"sub_{order.published_id}", "threshold_percent": 80, "notification_method": "email"}
    return {name: value for name, value in (given | changes).items() if value is not None}


def test_the_documented_alert(order: Order, api: APIClient) -> None:
    made = call(api, "post", "", 201, **documented(order))
    assert list(made) == ["id", "subscription_id", "threshold_percent", "notification_method", "created_at"]
    assert re.fullmatch(r"alert_\w{10}", made["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["created_at"])
    assert {name: made[name] for name in documented(order)} == documented(order)


def test_an_alert_is_read_changed_and_deleted(order: Order, api: APIClient) -> None:
    made = call(api, "post", "", 201, **documented(order, recipients=["ops@example.com"]))
    one = {**made, "webhook_url": None, "status": "armed", "last_fired_at": None}
    assert call(api, "get", f"/{made['id']}") == one
    assert call(api, "get") == [one]
    changed = call(api, "patch", f"/{made['id']}", threshold_percent=90, recipients=[])
    assert changed == {**one, "threshold_percent": 90, "recipients": []}
    assert call(api, "patch", f"/{made['id']}", unknown=1) == changed
    call(api, "delete", f"/{made['id']}", 204)
    assert call(api, "patch", f"/{made['id']}", 404, threshold_percent=5)["code"] == "not_found"
    assert call(api, "get", f"/{made['id']}", 404)["code"] == "not_found"


def test_what_an_alert_is_about_cannot_be_changed(order: Order, api: APIClient) -> None:
    made = call(api, "post", "", 201, **documented(order))
    assert (
        call(api, "patch", f"/{made['id']}", notification_method="email", threshold_percent=7)["threshold_percent"] == 7
    )
    for changes in ({"notification_method": "webhook"}, {"subscription_id": "sub_other"}):
        assert list(call(api, "patch", f"/{made['id']}", 400, **changes)["details"]) == list(changes)


def test_a_webhook_has_a_secret_that_is_told_once(order: Order, api: APIClient) -> None:
    made = call(api, "post", "", 201, **documented(order, notification_method="webhook", webhook_url=URL))
    assert made["webhook_secret"].startswith("whsec_")
    assert "webhook_secret" not in call(api, "get", f"/{made['id']}")
    assert call(api, "get", f"/{made['id']}")["webhook_url"] == URL


def test_the_same_alert_again_is_a_conflict(order: Order, api: APIClient) -> None:
    webhook = documented(order, notification_method="webhook", webhook_url=URL)
    mail = documented(order)
    several = documented(order, recipients=["a@example.com", "b@example.com"])
    for body in (webhook, mail, several):
        call(api, "post", "", 201, **body)
        assert call(api, "post", "", 409, **body)["code"] == "conflict"
    assert call(api, "post", "", 409, **{**several, "recipients": ["B@example.com", "a@example.com"]})
    other = call(api, "post", "", 201, **documented(order, threshold_percent=81))
    assert call(api, "patch", f"/{other['id']}", 409, threshold_percent=80)["code"] == "conflict"
    assert call(api, "get", f"/{other['id']}")["threshold_percent"] == 81


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no subscription": ({"subscription_id": None}, "subscription_id"),
    "0 %": ({"threshold_percent": 0}, "threshold_percent"),
    "101 %": ({"threshold_percent": 101}, "threshold_percent"),
    "text": ({"threshold_percent": "80"}, "threshold_percent"),
    "a fraction": ({"threshold_percent": 80.5}, "threshold_percent"),
    "true": ({"threshold_percent": True}, "threshold_percent"),
    "no threshold": ({"threshold_percent": None}, "threshold_percent"),
    "a pigeon": ({"notification_method": "pigeon"}, "notification_method"),
    "no method": ({"notification_method": None}, "notification_method"),
    "a webhook to nowhere": ({"notification_method": "webhook"}, "webhook_url"),
    "a private webhook": ({"notification_method": "webhook", "webhook_url": "http://127.0.0.1/"}, "webhook_url"),
    "a mail to a webhook": ({"webhook_url": URL}, "webhook_url"),
    "a webhook to mailboxes": (
        {"notification_method": "webhook", "webhook_url": URL, "recipients": ["a@example.com"]},
        "recipients",
    ),
    "no address": ({"recipients": ["nobody"]}, "recipients"),
    "too many": ({"recipients": [f"a{n}@example.com" for n in range(11)]}, "recipients"),
    "a header in an address": ({"recipients": ["a@example.com\nBcc: b@example.com"]}, "recipients"),
}


@pytest.mark.parametrize(("changes", "named"), BAD.values(), ids=BAD)
def test_a_bad_alert_is_refused_and_makes_nothing(
    changes: dict[str, Any], named: str, order: Order, api: APIClient
) -> None:
    error = call(api, "post", "", 400, **documented(order, **changes))
    assert error["code"] == "validation_error"
    assert [name.split(".")[0] for name in error["details"]] == [named]
    assert call(api, "get") == []


def test_half_a_surrogate_pair_is_refused_like_any_other_word(order: Order, api: APIClient) -> None:
    body = json.dumps(documented(order, notification_method="\ud800"))
    answer = api.post("/api/v1/usage/alerts", body, content_type="application/json")
    assert answer.status_code == 400
    assert "notification_method" in answer.json()["error"]["details"]


@pytest.mark.parametrize("limit", [None, 0])
def test_without_a_positive_limit_there_is_nothing_to_alert_about(
    limit: int | None, alice: User, make_order: Callable[..., Order], api: APIClient
) -> None:
    order = make_order(alice, network=Network.MOBILE, limit=limit)
    error = call(api, "post", "", 400, **documented(order))
    assert list(error["details"]) == ["subscription_id"]


def test_what_is_not_ones_own_is_not_found(
    order: Order, bob: User, make_order: Callable[..., Order], api: APIClient, client_for: Callable[..., APIClient]
) -> None:
    foreign = call(client_for(bob), "post", "", 201, **documented(make_order(bob, limit=GB)))
    for body in (documented(order, subscription_id=foreign["subscription_id"]), documented(order, subscription_id="x")):
        assert call(api, "post", "", 404, **body)["code"] == "not_found"
    for published_id in (foreign["id"], foreign["id"].removeprefix("alert_"), "alert_", "alert_\u00e9", "%00"):
        assert call(api, "get", f"/{published_id}", 404)["code"] == "not_found"
        assert call(api, "patch", f"/{published_id}", 404, threshold_percent=5)["code"] == "not_found"
        assert call(api, "delete", f"/{published_id}", 404)["code"] == "not_found"
    assert call(api, "get") == []
