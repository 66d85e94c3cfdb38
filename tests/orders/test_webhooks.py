"""The provider's webhooks: managed through the API and the admin, delivered at least once, disabled when dead."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import AuditRecord, User
from fonproxy import delivery
from fonproxy import webhooks as webhook_calls
from orders import services as order_services
from orders import tasks, webhooks
from orders.models import EventDelivery, Order, ProviderEvent, WebhookEndpoint
from tests.usage.alerts.receiver import Mailbox, WebhookReceiver, expected_signature

URL = "https://93.184.216.34/hook"
DAY = timedelta(days=1)


@pytest.fixture
def shop(staff: User, client_for: Callable[..., APIClient]) -> Callable[..., Any]:
    client = client_for(staff)

    def call(method: str, path: str = "", expected: int = 200, **body: Any) -> Any:
        text = json.dumps(body) if body else ""
        answer = client.generic(method, f"/provisioning/webhooks{path}", text, content_type="application/json")
        assert answer.status_code == expected, answer.content
        return answer.json() if answer.content else None

    return call


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order]) -> Order:
    return make_order(alice, limit=None)


def endpoint_at(receiver: WebhookReceiver, path: str) -> WebhookEndpoint:
    return webhooks.create(url=receiver.url(path), description="", event_types=[], now=timezone.now())


def suspended(order: Order) -> EventDelivery:
    order_services.suspend(order, timezone.now())
    return EventDelivery.objects.get()


def due_again() -> None:
    EventDelivery.objects.update(next_attempt_at=timezone.now())


def test_a_webhook_is_made_read_changed_and_deleted(shop: Callable[..., Any]) -> None:
    made = shop("POST", "", 201, url=URL, description="Billing", events=["order.renewed"])["webhook"]
    assert made.pop("secret").startswith("whsec_")
    assert (made["url"], made["events"], made["isEnabled"]) == (URL, ["order.renewed"], True)
    assert shop("GET")["webhooks"] == [made]
    assert shop("GET", f"/{made['id']}")["webhook"] == made
    changed = shop("PATCH", f"/{made['id']}", isEnabled=False, events=[])["webhook"]
    assert changed == {**made, "isEnabled": False, "events": []}
    assert shop("DELETE", f"/{made['id']}", 204) is None
    assert shop("GET", f"/{made['id']}", 404)
    actions = AuditRecord.objects.order_by("pk").values_list("kind", "action")
    assert list(actions) == [
        ("webhook", "webhook made"),
        ("webhook", "webhook changed"),
        ("webhook", "webhook deleted"),
    ]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "url"),
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"url": "ftp://example.com"}, "url"),
        ({"url": "https://a..b/x"}, "url"),
        ({"url": URL, "events": ["order.lost"]}, "events"),
        ({"url": URL, "events": "order.renewed"}, "events"),
        ({"url": URL, "description": "x" * 101}, "description"),
        ({"url": 5}, "url"),
    ],
)
def test_a_bad_webhook_is_refused_and_makes_nothing(body: dict[str, Any], named: str, shop: Callable[..., Any]) -> None:
    error = shop("POST", "", 400, **(body or {"description": "x"}))
    assert [found["field"].split(".")[0] for found in error["errors"]] == [named]
    assert not WebhookEndpoint.objects.exists()


def test_at_most_twenty_webhooks_can_be_created(shop: Callable[..., Any]) -> None:
    for _ in range(20):
        shop("POST", "", 201, url=URL)
    shop("POST", "", 409, url=URL)


@pytest.mark.parametrize("path", ["/x", "/x/deliveries"])
def test_unknown_ids_are_not_found(path: str, shop: Callable[..., Any]) -> None:
    shop("GET", path, 404)


def test_an_event_arrives_signed_under_one_id(order: Order, receiver: WebhookReceiver) -> None:
    endpoint = endpoint_at(receiver, "ok")
    row = suspended(order)
    assert webhooks.attempt(row.pk)
    assert not webhooks.attempt(row.pk)
    [(_, headers, body)] = receiver.calls
    event = json.loads(body)
    assert headers["Webhook-Id"] == event["id"] == str(ProviderEvent.objects.get().pk)
    assert headers["Webhook-Signature"] == expected_signature(endpoint.secret, headers, body)
    assert (event["type"], event["data"]["id"]) == ("order.suspended", order.published_id)
    delivery.send_again(EventDelivery.objects.all(), timezone.now())
    assert webhooks.attempt(row.pk)
    assert receiver.calls[1][1]["Webhook-Id"] == headers["Webhook-Id"]


def test_a_failed_delivery_is_listed_and_sent_again(
    order: Order, receiver: WebhookReceiver, shop: Callable[..., Any]
) -> None:
    endpoint = endpoint_at(receiver, "fail")
    row = suspended(order)
    assert not webhooks.attempt(row.pk)
    path = f"/{endpoint.published_id}/deliveries"
    [failing] = shop("GET", f"{path}?status=failing")["deliveries"]
    assert (failing["attempts"], failing["lastError"]) == (1, "Responded with status 500.")
    assert shop("GET", f"{path}?status=delivered")["deliveries"] == []
    assert shop("GET", f"/{endpoint.published_id}")["webhook"]["failingSince"] is not None
    webhooks.change(endpoint, {"url": receiver.url("ok")}, timezone.now())
    assert webhooks.attempt(row.pk)
    [arrived] = shop("GET", path)["deliveries"]
    assert (arrived["status"], arrived["eventId"]) == ("delivered", failing["eventId"])
    assert shop("GET", f"/{endpoint.published_id}")["webhook"]["failingSince"] is None
    resent = shop("POST", f"{path}/{arrived['id']}/resend")["delivery"]
    assert (resent["status"], resent["attempts"]) == ("waiting", 0)
    shop("POST", f"{path}/x/resend", 404)
    other = endpoint_at(receiver, "ok")
    shop("POST", f"/{other.published_id}/deliveries/{arrived['id']}/resend", 404)


def test_deliveries_are_listed_by_cursor(order: Order, receiver: WebhookReceiver, shop: Callable[..., Any]) -> None:
    endpoint = endpoint_at(receiver, "ok")
    for _ in range(3):
        order_services.suspend(order, timezone.now())
        order_services.resume(order, timezone.now())
    path, found, cursor = f"/{endpoint.published_id}/deliveries", [], ""
    while cursor is not None:
        page = shop("GET", f"{path}?limit=4" + (f"&cursor={cursor}" if cursor else ""))
        found += [row["type"] for row in page["deliveries"]]
        cursor = page["nextCursor"]
    assert found == ["order.resumed", "order.suspended"] * 3
    shop("GET", f"{path}?cursor=x", 400)
    shop("GET", f"{path}?status=lost", 400)


def test_an_endpoint_that_fails_for_three_days_is_disabled_and_staff_are_mailed_once(
    order: Order, receiver: WebhookReceiver, staff: User, mailoutbox: Any, shop: Callable[..., Any]
) -> None:
    User.objects.create_user("without permission", "no@example.com", is_staff=True)
    endpoint = endpoint_at(receiver, "fail")
    row = suspended(order)
    webhooks.attempt(row.pk)
    WebhookEndpoint.objects.update(failing_since=timezone.now() - 3 * DAY + timedelta(minutes=1))
    due_again()
    webhooks.attempt(row.pk)
    assert WebhookEndpoint.objects.get().is_enabled
    WebhookEndpoint.objects.update(failing_since=timezone.now() - 3 * DAY)
    due_again()
    webhooks.attempt(row.pk)
    found = shop("GET", f"/{endpoint.published_id}")["webhook"]
    assert (found["isEnabled"], found["disabledAt"] is not None) == (False, True)
    tasks.send_notices()
    tasks.send_notices()
    [mail] = mailoutbox
    assert mail.to == [staff.email]
    assert receiver.url("fail") in mail.body
    due_again()
    assert not webhooks.attempt(row.pk)
    calls = len(receiver.calls)
    order_services.resume(order, timezone.now())  # while disabled
    shop("PATCH", f"/{endpoint.published_id}", url=receiver.url("ok"), isEnabled=True)
    assert EventDelivery.objects.count() == 1
    assert webhooks.attempt(row.pk)
    assert len(receiver.calls) == calls + 1


def test_a_mail_that_cannot_be_sent_is_sent_later(
    receiver: WebhookReceiver, staff: User, mailoutbox: Any, settings: Any
) -> None:
    endpoint_at(receiver, "fail")
    WebhookEndpoint.objects.update(is_notice_due=True)
    backend = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    tasks.send_notices()
    settings.EMAIL_BACKEND = backend
    assert mailoutbox == []
    tasks.send_notices()
    assert len(mailoutbox) == 1


def test_a_refused_address_does_not_keep_the_others_from_one_mail_each(
    receiver: WebhookReceiver, staff: User, mailbox: Mailbox
) -> None:
    User.objects.create_superuser("gone", "gone@example.com")
    User.objects.create_superuser("unwritable", "a@" + "\u00fc" * 60 + ".com")
    User.objects.create_superuser("last", "last@example.com")
    mailbox.unknown.add("gone@example.com")
    endpoint_at(receiver, "fail")
    WebhookEndpoint.objects.update(is_notice_due=True)
    tasks.send_notices()
    tasks.send_notices()
    assert sorted(mail["To"] for mail in mailbox.mails) == sorted([staff.email, "last@example.com"])


def test_a_notice_that_is_refused_at_every_address_stays_due(
    receiver: WebhookReceiver, staff: User, mailbox: Mailbox
) -> None:
    endpoint_at(receiver, "fail")
    WebhookEndpoint.objects.update(is_notice_due=True)
    mailbox.unknown.add(staff.email)
    tasks.send_notices()
    assert mailbox.mails == []
    mailbox.unknown.clear()
    tasks.send_notices()
    assert [mail["To"] for mail in mailbox.mails] == [staff.email]


def test_a_test_event_goes_to_its_endpoint_only_and_the_delivery_has_the_outcome(
    receiver: WebhookReceiver, shop: Callable[..., Any]
) -> None:
    endpoint = endpoint_at(receiver, "ok")
    endpoint_at(receiver, "other")
    webhooks.change(endpoint, {"event_types": ["order.expired"]}, timezone.now())
    path = f"/{endpoint.published_id}"
    waiting = shop("POST", f"{path}/test", 202)["delivery"]
    assert (waiting["type"], waiting["status"], receiver.calls) == ("webhook.test", "waiting", [])
    webhooks.attempt(EventDelivery.objects.get().pk)
    assert [json.loads(body)["type"] for _, _, body in receiver.calls] == ["webhook.test"]
    webhooks.change(endpoint, {"url": receiver.url("redirect")}, timezone.now())
    shop("POST", f"{path}/test", 202)
    webhooks.attempt(EventDelivery.objects.latest("pk").pk)
    told = [(row["status"], row["lastError"]) for row in shop("GET", f"{path}/deliveries")["deliveries"]]
    assert told == [("given_up", "Responded with status 302. Redirects are not followed."), ("delivered", "")]
    assert list(AuditRecord.objects.values_list("action", "number")) == [("webhook tested", endpoint.pk)] * 2


def test_a_failed_test_event_is_not_retried_and_does_not_affect_its_endpoint(
    receiver: WebhookReceiver, shop: Callable[..., Any]
) -> None:
    endpoint = endpoint_at(receiver, "fail")
    for _ in range(webhooks.MAX_OPEN_TESTS):
        shop("POST", f"/{endpoint.published_id}/test", 202)
        webhooks.attempt(EventDelivery.objects.latest("pk").pk)
    due_again()
    assert [webhooks.attempt(row.pk) for row in EventDelivery.objects.all()] == [False] * webhooks.MAX_OPEN_TESTS
    assert len(receiver.calls) == webhooks.MAX_OPEN_TESTS
    assert shop("GET", f"/{endpoint.published_id}")["webhook"]["failingSince"] is None
    shop("POST", f"/{endpoint.published_id}/test", 202)


def test_a_disabled_webhook_cannot_be_tested_and_test_events_do_not_pile_up(
    receiver: WebhookReceiver, shop: Callable[..., Any]
) -> None:
    endpoint = endpoint_at(receiver, "ok")
    path = f"/{endpoint.published_id}/test"
    for _ in range(webhooks.MAX_OPEN_TESTS):
        shop("POST", path, 202)
    shop("POST", path, 409)
    webhooks.change(endpoint, {"is_enabled": False}, timezone.now())
    assert "disabled" in str(shop("POST", path, 409))


def test_a_hanging_endpoint_delays_no_other(
    transactional_db: None, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_calls, "DEADLINE_SECONDS", 60.0)
    now = timezone.now()
    for path in ("hang", "ok"):
        endpoint_at(receiver, path)
    for number in range(30):
        event = ProviderEvent.objects.create(type="order.renewed", user_number=number, data={}, occurred_at=now)
        for endpoint in WebhookEndpoint.objects.all():
            EventDelivery.objects.create(event=event, endpoint=endpoint, next_attempt_at=now)

    def send() -> int:
        try:
            return webhooks.send_due()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        try:
            receiver.wait_for(30 + webhooks.THREADS)
            assert not sending.done()
        finally:
            receiver.is_over.set()
        sending.result()
    fine = WebhookEndpoint.objects.latest("pk")
    assert fine.deliveries.exclude(delivered_at=None).count() == 30


def test_a_failing_endpoint_gets_a_few_attempts_per_round(transactional_db: None, receiver: WebhookReceiver) -> None:
    now = timezone.now()
    endpoint = endpoint_at(receiver, "fail")
    for number in range(40):
        event = ProviderEvent.objects.create(type="order.renewed", user_number=number, data={}, occurred_at=now)
        EventDelivery.objects.create(event=event, endpoint=endpoint, next_attempt_at=now)
    assert webhooks.send_due() == 0
    first = len(receiver.calls)
    assert 1 <= first <= webhooks.THREADS
    assert webhooks.send_due() == 0
    assert 1 <= len(receiver.calls) - first <= delivery.MAX_PER_OWNER


def test_the_secret_is_sealed(db: None, receiver: WebhookReceiver) -> None:
    endpoint = endpoint_at(receiver, "ok")
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM webhook_endpoints")
        assert endpoint.secret not in str(cursor.fetchall())


def test_staff_make_test_and_send_again_in_the_admin(order: Order, receiver: WebhookReceiver, client: Browser) -> None:
    client.force_login(User.objects.create_superuser("boss"))
    add = reverse("admin:orders_webhookendpoint_add")
    refused = client.post(add, {"url": "gopher://x", "description": "Billing"})
    assert "Must begin with https://" in refused.content.decode()
    made = client.post(add, {"url": receiver.url("ok"), "description": "Billing"})
    endpoint = WebhookEndpoint.objects.get()
    assert f"whsec_{endpoint.secret}" in made.content.decode()
    assert "no-store" in made.headers["Cache-Control"]
    assert endpoint.secret not in str(dict(client.session))
    change = reverse("admin:orders_webhookendpoint_change", args=[endpoint.pk])
    assert endpoint.secret not in client.get(change).content.decode()
    given = {"url": receiver.url("fail"), "description": "", "event_types": ["order.suspended"], "is_enabled": "on"}
    assert client.post(change, given).status_code == 302
    row = suspended(order)
    webhooks.attempt(row.pk)
    events = reverse("admin:orders_providerevent_changelist")
    page = client.get(events, {"delivery": "failing"}).content.decode()
    assert "0 of 1" in page
    assert "Responded with status 500." in page
    assert client.get(reverse("admin:orders_providerevent_change", args=[row.event_id])).status_code == 200
    chosen = {"action": "send_again", "_selected_action": [str(row.event_id)]}
    assert "1 messages will be sent again" in client.post(events, chosen, follow=True).content.decode()
    listed = reverse("admin:orders_webhookendpoint_changelist")
    chosen = {"action": "send_test", "_selected_action": [str(endpoint.pk)]}
    assert "A test event will be sent to " in client.post(listed, chosen, follow=True).content.decode()
    webhooks.attempt(EventDelivery.objects.latest("pk").pk)
    assert "Responded with status 500." in client.get(events, {"type__exact": "webhook.test"}).content.decode()
    assert client.get(listed).status_code == 200
    delete = reverse("admin:orders_webhookendpoint_delete", args=[endpoint.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 302
    assert not EventDelivery.objects.exists()


def test_a_webhook_stored_under_an_earlier_secret_key_can_be_changed(
    order: Order, receiver: WebhookReceiver, client: Browser, settings: Any
) -> None:
    endpoint = endpoint_at(receiver, "ok")
    settings.SEALING_KEYS = ["0" * 64]
    client.force_login(User.objects.create_superuser("boss"))
    change = reverse("admin:orders_webhookendpoint_change", args=[endpoint.pk])
    assert client.post(change, {"url": endpoint.url, "description": "old", "is_enabled": "on"}).status_code == 302
    endpoint.refresh_from_db()
    assert endpoint.description == "old"


def test_the_code_in_the_document_verifies_a_call_and_refuses_others(order: Order, receiver: WebhookReceiver) -> None:
    endpoint = endpoint_at(receiver, "ok")
    webhooks.attempt(suspended(order).pk)
    [(_, headers, body)] = receiver.calls
    [code] = re.findall(r"```python\n(.*?)```", (settings.BASE_DIR / "docs/events.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    verified, secret = names["verified"], f"whsec_{endpoint.secret}"
    assert verified(secret, headers, body)["type"] == "order.suspended"
    for changed in ({**headers, "Webhook-Id": "other"}, {**headers, "Webhook-Timestamp": "5"}):
        with pytest.raises(ValueError, match=r"wrong signature|too old"):
            verified(secret, changed, body)
    with pytest.raises(ValueError, match="wrong signature"):
        verified(secret, headers, body + b" ")
