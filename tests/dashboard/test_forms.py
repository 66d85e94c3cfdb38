"""The forms of the pages follow the rules of the APIs, and store no secret."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client as Browser
from django.utils import timezone

from accounts.models import ApiKey, Application, AuditRecord, Session, User
from accounts.services import issue_key, revoke_key, rotate_key
from accounts.sessions import SessionStore
from orders.models import Order
from usage.alerts import services
from usage.ids import alert_id, subscription_id
from usage.models import Alert

SECRET = re.compile(r'class="secret" id="secret-\d"[^>]*>([^<]+)<')


def signed_in(user: User) -> Browser:
    browser = Browser()
    browser.force_login(user)
    return browser


def test_a_new_keys_secret_is_only_in_the_response(alice: User, caplog: pytest.LogCaptureFixture) -> None:
    browser = signed_in(alice)
    with caplog.at_level("DEBUG"):
        answer = browser.post("/dashboard/keys", {"name": "Report", "scopes": ["read"]})
    [secret] = SECRET.findall(answer.content.decode())
    assert answer["Cache-Control"] == "no-store"
    assert secret not in caplog.text
    assert "messages" not in answer.cookies
    assert all(secret not in str(SessionStore().decode(session.session_data)) for session in Session.objects.all())
    assert secret not in browser.get("/dashboard/keys").content.decode()
    assert browser.get("/api/v1/me", headers={"x-api-key": secret}).status_code == 200


@pytest.mark.parametrize(
    ("entered", "said"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "x" * 101}, "Ensure this field has no more than 100 characters."),
        ({"name": "x", "expiresAt": "2020-01-01"}, "Must be in the future."),
        ({"name": "x", "expiresAt": "soon"}, "ISO 8601"),
    ],
)
def test_a_key_that_the_api_would_refuse_is_refused_beside_its_field(
    entered: dict[str, str], said: str, alice: User
) -> None:
    answer = signed_in(alice).post("/dashboard/keys", {"scopes": ["read"], **entered})
    [found] = [text for texts in answer.context["form"].errors.values() for text in texts]
    assert said in found
    assert not ApiKey.objects.exists()


def test_only_staff_can_make_a_key_that_pushes(alice: User, staff: User) -> None:
    for user, granted in ((alice, []), (staff, [["read", "ingest"]])):
        signed_in(user).post("/dashboard/keys", {"name": "x", "scopes": ["read", "ingest"]})
        assert [key.scopes for key in ApiKey.objects.filter(user=user)] == granted


def test_a_customer_can_make_a_key_that_writes(alice: User) -> None:
    signed_in(alice).post("/dashboard/keys", {"name": "x", "scopes": ["read", "write"]})
    assert ApiKey.objects.get().scopes == ["read", "write"]


def test_a_key_of_another_user_is_not_revoked(alice: User, bob: User) -> None:
    signed_in(alice).post("/dashboard/keys", {"name": "hers", "scopes": ["read"]})
    key = ApiKey.objects.get()
    assert signed_in(bob).post(f"/dashboard/keys/{key.published_id}/revoke").status_code == 404
    key.refresh_from_db()
    assert key.revoked_at is None


@pytest.mark.parametrize(("immediately", "hours"), [("false", 24), ("true", 0)])
def test_a_rotated_key_works_beside_the_new_one_for_a_day_unless_it_leaked(
    immediately: str, hours: int, alice: User
) -> None:
    browser = signed_in(alice)
    made = browser.post("/dashboard/keys", {"name": "Report", "scopes": ["read", "write"], "expiresAt": "2099-01-01"})
    [before] = SECRET.findall(made.content.decode())
    old = ApiKey.objects.get()
    answer = browser.post(f"/dashboard/keys/{old.published_id}/rotate", {"immediately": immediately})
    [after] = SECRET.findall(answer.content.decode())
    assert answer["Cache-Control"] == "no-store"
    new = ApiKey.objects.exclude(pk=old.pk).get()
    assert (new.name, new.scopes, new.expires_at) == (old.name, old.scopes, old.expires_at)
    now = timezone.now()
    for later, works in ((0, hours > 0), (hours + 1, False)):
        with time_machine.travel(now + timedelta(hours=later), tick=False):
            cache.clear()
            statuses = [Browser().get("/api/v1/me", headers={"x-api-key": key}).status_code for key in (before, after)]
            assert statuses == [200 if works else 401, 200]
    assert AuditRecord.objects.filter(number=alice.pk, action="api key rotated").exists()


def test_a_rotation_keeps_an_earlier_end_and_needs_a_key_that_works(alice: User) -> None:
    now = timezone.now()
    soon, _ = issue_key(user=alice, name="soon", scopes=["read"], expires_at=now + timedelta(hours=1), now=now)
    rotate_key(soon, now)
    soon.refresh_from_db()
    assert soon.expires_at == now + timedelta(hours=1)
    revoke_key(soon, now)
    answer = signed_in(alice).post(f"/dashboard/keys/{soon.published_id}/rotate", {"immediately": "false"})
    assert "This key has ended." in answer.content.decode()
    assert ApiKey.objects.count() == 2


def test_a_key_with_scopes_that_staff_grant_is_not_rotated_by_its_owner(alice: User, bob: User) -> None:
    key, _ = issue_key(user=alice, name="gateway", scopes=["read", "ingest"], now=timezone.now())
    path = f"/dashboard/keys/{key.published_id}/rotate"
    assert path not in signed_in(alice).get("/dashboard/keys").content.decode()
    for user in (alice, bob):
        assert signed_in(user).post(path, {"immediately": "false"}).status_code == 404
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    ("entered", "field", "said"),
    [
        ({"threshold": "0"}, "threshold", "greater than or equal to 1"),
        ({"threshold": "1001"}, "threshold", "less than or equal to 1000"),
        ({"recipients": "ops@example.com\nnobody"}, "recipients", "2. Enter a valid email address."),
        ({"recipients": "\n".join(f"{n}@example.com" for n in range(11))}, "recipients", "no more than 10"),
        ({"webhook_url": "https://example.com"}, "webhook_url", "Not allowed for email alerts."),
        ({"notification_method": "webhook"}, "webhook_url", "Required for webhook alerts."),
        (
            {"notification_method": "webhook", "webhook_url": "http://127.0.0.1/x"},
            "webhook_url",
            "Belongs to a private network.",
        ),
        ({"subscription_id": "sub_another"}, "subscription_id", "not one of the available choices"),
    ],
)
def test_an_alert_that_the_api_would_refuse_is_refused_beside_its_field(
    entered: dict[str, str], field: str, said: str, alice: User, make_order: Callable[..., Order]
) -> None:
    order = make_order(alice, limit=10**9)  # with its own alerts at 80 and 100 %
    body = {
        "subscription_id": subscription_id(order.pk),
        "kind": "usage_percent",
        "threshold": "42",
        "notification_method": "email",
        **entered,
    }
    before = Alert.objects.count()
    answer = signed_in(alice).post("/dashboard/alerts/new", body)
    assert list(answer.context["form"].errors) == [field]
    assert said in str(answer.context["form"].errors[field])
    assert Alert.objects.count() == before
    assert answer.context["form"]["threshold"].value() == body["threshold"]


def test_an_alert_like_a_default_one_adopts_it_once(alice: User, make_order: Callable[..., Order]) -> None:
    order = make_order(alice, limit=10**9)  # with its own alerts at 80 and 100 %
    body = {"subscription_id": subscription_id(order.pk), "threshold": "80", "notification_method": "email"}
    body["kind"] = "usage_percent"
    browser = signed_in(alice)
    assert browser.post("/dashboard/alerts/new", body).status_code == 302
    again = browser.post("/dashboard/alerts/new", body)
    assert "already has an alert with this threshold" in str(again.context["form"].errors["__all__"])
    assert Alert.objects.filter(order=order).count() == 2


def test_an_alert_on_another_customers_order_is_refused(
    alice: User, bob: User, make_order: Callable[..., Order]
) -> None:
    order = make_order(bob, limit=10**9)
    body = {"subscription_id": subscription_id(order.pk), "threshold": "42", "notification_method": "email"}
    body["kind"] = "usage_percent"
    signed_in(alice).post("/dashboard/alerts/new", body)
    assert not Alert.objects.filter(threshold=42).exists()


def test_a_changed_alert_notifies_only_its_present_recipients(
    alice: User, make_order: Callable[..., Order], engine: Any
) -> None:
    order = make_order(alice, limit=10**9)
    alert = Alert.objects.filter(order=order, threshold=80).get()
    services.change(alert, {"recipients": ["ops@example.com"]}, alert.created_at)
    body = {"threshold": "70", "recipients": ""}
    assert signed_in(alice).post(f"/dashboard/alerts/{alert_id(alert.pk)}", body).status_code == 302
    alert.refresh_from_db()
    assert (alert.threshold, alert.recipients) == (70, [])


def test_an_applications_new_keys_are_only_in_the_response(alice: User) -> None:
    browser = signed_in(alice)
    made = browser.post("/dashboard/applications", {"name": "Shop"})
    application = Application.objects.get()
    path = f"/dashboard/applications/{application.published_id}"
    exchanged = browser.post(f"{path}/rotate", {"immediately": "true"})
    for answer in (made, exchanged):
        assert answer["Cache-Control"] == "no-store"
        app_id, *keys = SECRET.findall(answer.content.decode())
        assert app_id == application.published_id
        assert len(keys) == 2
        page = browser.get(path).content.decode()
        assert not any(key in page for key in keys)
    assert application.keys.filter(ends_at=None).count() == 2
    assert application.keys.exclude(ends_at=None).count() == 2


def test_an_unknown_object_is_answered_with_a_404_page(alice: User) -> None:
    browser = signed_in(alice)
    for path in ("alerts/alert_nothing", "keys/nothing/revoke", "applications/nothing"):
        answer = browser.get(f"/dashboard/{path}")
        assert answer.status_code == 404
        assert answer["Content-Type"].startswith("text/html")


def test_an_alert_of_another_kind_and_to_a_chat_is_made_and_changed_without_showing_its_token(
    alice: User, make_order: Callable[..., Order]
) -> None:
    order = make_order(alice, limit=10**9)
    slack = "https://hooks.slack.com/services/T1JJ3T3L2/B1BRTD4JD/TIiajkdnlazkcOXrIdevi7"
    body = {"subscription_id": subscription_id(order.pk), "kind": "bytes_left", "threshold": "1.5"}
    browser = signed_in(alice)
    answer = browser.post("/dashboard/alerts/new", {**body, "notification_method": "slack", "target": slack})
    assert answer.status_code == 302, answer.context["form"].errors
    alert = Alert.objects.get(kind="bytes_left")
    assert (alert.threshold, alert.chat) == (3 * 2**29, slack)
    page = f"/dashboard/alerts/{alert_id(alert.pk)}"
    shown = browser.get(page).content.decode() + browser.get("/dashboard/alerts").content.decode()
    assert "1.50 GB left" in shown
    assert "IiajkdnlazkcOXr" not in shown
    assert browser.post(page, {"threshold": "2", "target": ""}).status_code == 302
    alert.refresh_from_db()
    assert (alert.threshold, alert.chat) == (2**31, slack)
