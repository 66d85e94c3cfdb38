"""The alert routes of the published WeProxies usage reference, and the contract's additions."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from fonproxy.clickhouse.client import Client
from orders.models import Network, Order
from tests.contract.present import NOW
from usage.models import Alert

GB = 2**30
URL = "https://93.184.216.34/hook"
ALERTS = "/api/v1/usage/alerts"


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


def test_whole_percentage_may_be_a_floating_point_number(order: Order, api: APIClient) -> None:
    made = call(api, "post", "", 201, **documented(order, threshold_percent=80.0))
    assert made["threshold_percent"] == 80
    assert type(made["threshold_percent"]) is int
    for beyond in (1e308, 100.5):
        assert (
            "threshold_percent" in call(api, "post", "", 400, **documented(order, threshold_percent=beyond))["details"]
        )


@pytest.mark.parametrize("content_type", ["", "application/x-www-form-urlencoded", "application/json; charset=utf-8"])
def test_body_is_json_unless_its_type_says_otherwise(content_type: str, order: Order, api: APIClient) -> None:
    def sent(body: str, content_type: str) -> int:
        return api.generic("POST", "/api/v1/usage/alerts", body, content_type=content_type).status_code

    body = json.dumps(documented(order))
    assert sent("threshold_percent=80", content_type) == 400
    assert sent(body, "text/plain") == sent(body, "multipart/form-data; boundary=x") == 415
    assert sent(body, content_type) == 201


def test_a_body_may_be_gzipped(order: Order, api: APIClient) -> None:
    def status_of(body: bytes) -> int:
        answer = api.post(ALERTS, body, content_type="application/json", headers={"Content-Encoding": "gzip"})
        return answer.status_code

    body = json.dumps(documented(order)).encode()
    assert status_of(body) == status_of(gzip.compress(body)[:-1]) == 400
    assert status_of(gzip.compress(body.ljust(2**16 + 1))) == 413
    assert status_of(gzip.compress(body.ljust(2**16))) == 201


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip"])
def test_another_encoding_of_a_body_is_refused(coding: str, order: Order, api: APIClient) -> None:
    answer = api.generic(
        "POST", ALERTS, json.dumps(documented(order)), content_type="application/json", HTTP_CONTENT_ENCODING=coding
    )
    assert (answer.status_code, answer.headers["Accept-Encoding"]) == (415, "gzip")
    assert answer.json()["error"]["code"] == "unsupported_media_type"
    assert not Alert.objects.exists()


def test_an_alert_is_read_changed_and_deleted(order: Order, api: APIClient) -> None:
    made = call(api, "post", "", 201, **documented(order, recipients=["ops@example.com"]))
    more = {"kind": "usage_percent", "threshold": 80, "webhook_url": None, "target": None}
    one = {**made, **more, "status": "armed", "last_fired_at": None}
    assert call(api, "get", f"/{made['id']}") == one
    assert call(api, "get") == [one]
    changed = call(api, "patch", f"/{made['id']}", threshold_percent=90, recipients=[])
    assert changed == {**one, "threshold": 90, "threshold_percent": 90, "recipients": []}
    assert call(api, "patch", f"/{made['id']}", unknown=1) == changed
    call(api, "delete", f"/{made['id']}", 204)
    assert call(api, "patch", f"/{made['id']}", 404, threshold_percent=5)["code"] == "not_found"
    assert call(api, "get", f"/{made['id']}", 404)["code"] == "not_found"


def test_the_subscription_and_method_of_an_alert_cannot_be_changed(order: Order, api: APIClient) -> None:
    made = call(api, "post", "", 201, **documented(order))
    assert (
        call(api, "patch", f"/{made['id']}", notification_method="email", threshold_percent=7)["threshold_percent"] == 7
    )
    for changes in ({"notification_method": "webhook"}, {"subscription_id": "sub_other"}):
        assert list(call(api, "patch", f"/{made['id']}", 400, **changes)["details"]) == list(changes)


def test_a_webhook_has_a_secret_that_is_shown_once(order: Order, api: APIClient) -> None:
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


def test_the_first_alert_that_equals_a_default_one_adopts_it(
    alice: User, make_order: Callable[..., Order], api: APIClient, engine: Any
) -> None:
    order = make_order(alice, limit=GB, now=NOW - timedelta(days=60))
    defaults = {alert["threshold_percent"]: alert["id"] for alert in call(api, "get")}
    assert set(defaults) == {80, 100}
    made = call(api, "post", "", 201, **documented(order, threshold_percent=80))
    assert (made["id"], made["threshold_percent"]) == (defaults[80], 80)
    assert datetime.fromisoformat(made["created_at"]) >= NOW.replace(microsecond=0)
    assert call(api, "post", "", 409, **documented(order, threshold_percent=80))["code"] == "conflict"
    call(api, "patch", f"/{defaults[100]}", recipients=[])
    assert call(api, "post", "", 409, **documented(order, threshold_percent=100))["code"] == "conflict"
    assert len(call(api, "get")) == 2


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
    "a label too long in ASCII": ({"recipients": ["a@" + "\u00fc" * 60 + ".com"]}, "recipients"),
    "a label without an ASCII form": ({"recipients": ["a@\u05d0a1.com"]}, "recipients"),
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


@pytest.mark.parametrize(("body", "threshold"), [({}, "threshold_percent"), ({"kind": "bytes_left"}, "threshold")])
def test_all_missing_fields_of_an_alert_are_named_at_once(body: dict[str, Any], threshold: str, api: APIClient) -> None:
    answer = api.post("/api/v1/usage/alerts", body, format="json")
    assert answer.status_code == 400
    needed = ("subscription_id", "notification_method", threshold)
    assert answer.json()["error"]["details"] == {name: ["This field is required."] for name in needed}


@pytest.mark.parametrize("body", ["[]", "null", "7"])
def test_an_alert_that_is_not_an_object_is_refused(body: str, api: APIClient) -> None:
    answer = api.post("/api/v1/usage/alerts", body, content_type="application/json")
    assert answer.status_code == 400, answer.content


def test_an_unpaired_surrogate_is_refused_as_an_unknown_value(order: Order, api: APIClient) -> None:
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


def test_objects_of_other_accounts_are_not_found(
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


def kinds(order: Order, kind: str | None, threshold: Any, **changes: Any) -> dict[str, Any]:
    return documented(order, threshold_percent=None, kind=kind, threshold=threshold, **changes)


@pytest.mark.parametrize(
    ("kind", "threshold"),
    [("bytes_left", 2**53 - 1), ("expires_in", 365), ("usage_percent", 1000), ("error_rate", 100)],
)
def test_a_kind_replaces_the_percentage(
    kind: str, threshold: int, alice: User, make_order: Callable[..., Order], api: APIClient, settings: Any
) -> None:
    settings.DEFAULT_ALERTS = False
    order = make_order(alice, limit=10 * GB, expires_at=timezone.now() + timedelta(days=30))
    made = call(api, "post", "", 201, **kinds(order, kind, threshold))
    assert list(made) == ["id", "subscription_id", "kind", "threshold", "notification_method", "created_at"]
    assert (made["kind"], made["threshold"]) == (kind, threshold)
    assert call(api, "post", "", 409, **kinds(order, kind, threshold))["code"] == "conflict"
    changed = call(api, "patch", f"/{made['id']}", threshold=7)
    assert (changed["kind"], changed["threshold"]) == (kind, 7)
    assert changed["threshold_percent"] == (7 if kind == "usage_percent" else None)
    assert call(api, "patch", f"/{made['id']}", 400, threshold=threshold + 1)["details"].keys() == {"threshold"}
    assert call(api, "patch", f"/{made['id']}", 400, kind="other")["details"].keys() == {"kind"}
    [row] = call(api, "get")
    assert row == changed


SLACK = "https://hooks.slack.com/services/T1JJ3T3L2/B1BRTD4JD/TIiajkdnlazkcOXrIdevi7"
BAD_KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown kind": ({"kind": "moon"}, "kind"),
    "no threshold": ({"threshold": None}, "threshold"),
    "0": ({"threshold": 0}, "threshold"),
    "text": ({"threshold": "5"}, "threshold"),
    "over the most": ({"kind": "error_rate", "threshold": 101}, "threshold"),
    "both": ({"kind": "usage_percent", "threshold_percent": 5}, "threshold"),
    "a percentage of days": ({"threshold_percent": 5, "threshold": None}, "threshold_percent"),
    "a chat without a target": ({"notification_method": "slack"}, "target"),
    "another service's target": ({"notification_method": "discord", "target": SLACK}, "target"),
    "a target for a mail": ({"target": SLACK}, "target"),
    "a webhook for a chat": ({"notification_method": "slack", "target": SLACK, "webhook_url": URL}, "webhook_url"),
}


@pytest.mark.parametrize(("changes", "named"), BAD_KINDS.values(), ids=BAD_KINDS)
def test_a_bad_kind_or_target_is_refused_and_makes_nothing(
    changes: dict[str, Any], named: str, order: Order, api: APIClient
) -> None:
    body = {name: value for name, value in (kinds(order, "bytes_left", 5) | changes).items() if value is not None}
    error = call(api, "post", "", 400, **body)
    assert list(error["details"]) == [named]
    assert call(api, "get") == []


def test_an_alert_about_the_end_needs_an_end_and_one_about_errors_no_limit(
    alice: User, make_order: Callable[..., Order], api: APIClient
) -> None:
    order = make_order(alice, limit=None)
    assert list(call(api, "post", "", 400, **kinds(order, "expires_in", 3))["details"]) == ["subscription_id"]
    assert list(call(api, "post", "", 400, **kinds(order, "bytes_left", 3))["details"]) == ["subscription_id"]
    assert call(api, "post", "", 201, **kinds(order, "error_rate", 3))


def test_a_chats_token_is_never_shown_again(order: Order, api: APIClient) -> None:
    made = call(api, "post", "", 201, **documented(order, notification_method="slack", target=SLACK))
    assert made["target"] == "https://hooks.slack.com/services/T1JJ3T3L2/\u2026evi7"
    token = SLACK.rpartition("/")[2]
    assert token not in json.dumps(made)
    assert call(api, "get", f"/{made['id']}")["target"] == made["target"]
    assert call(api, "post", "", 409, **documented(order, notification_method="slack", target=SLACK))
    changed = call(api, "patch", f"/{made['id']}", target=SLACK.replace("evi7", "evi8"))
    assert changed["target"].endswith("\u2026evi8")
    assert token not in api.get("/api/v1/usage/alerts?format=csv").content.decode()
