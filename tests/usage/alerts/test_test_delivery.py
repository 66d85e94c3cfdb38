"""A test delivery takes the same path as real ones, says that it is a test, and leaves the alert unchanged."""

from __future__ import annotations

import json
import re
import socket
from datetime import timedelta
from typing import Any

import pytest
from django.forms.models import model_to_dict
from django.test import Client as Browser
from django.utils.html import strip_tags

from orders.models import Order
from tests.usage.alerts.conftest import START
from tests.usage.alerts.receiver import Mailbox, WebhookReceiver, expected_signature
from usage.alerts import services, test_delivery
from usage.ids import alert_id
from usage.models import Alert, AlertTest, Delivery, Firing, Unsubscription


@pytest.fixture
def owner(order: Order) -> Browser:
    browser = Browser()
    browser.force_login(order.user)
    return browser


def ask(browser: Browser, alert: Alert) -> list[str]:
    """The page's message after the button was pressed and the worker has run."""
    path = f"/dashboard/alerts/{alert_id(alert.pk)}"
    answer = browser.post(f"{path}/test", follow=True)
    assert answer.status_code == 200
    said = [str(message) for message in answer.context["messages"]]
    for test in AlertTest.objects.filter(delivered_at=None, gave_up_at=None):
        assert f"A test is on its way to {test.target}." in answer.content.decode()
        test_delivery.attempt(test.pk)
    return said or shown(browser, alert)


def shown(browser: Browser, alert: Alert) -> list[str]:
    page = browser.get(f"/dashboard/alerts/{alert_id(alert.pk)}").content.decode()
    tests = page.partition('<div id="tests"')[2].partition("</div>")[0]
    return [" ".join(strip_tags(line).split()) for line in re.findall("<p.*?</p>", tests, re.DOTALL)]


def outcomes(alert: Alert) -> list[tuple[str, str]]:
    """Target and error of each test that the worker has sent."""
    test_delivery.request(alert, START)
    for test in AlertTest.objects.order_by("pk"):
        test_delivery.attempt(test.pk)
    assert not AlertTest.objects.filter(delivered_at=None, gave_up_at=None).exists()
    return [(test.target, test.last_error) for test in AlertTest.objects.order_by("pk")]


def test_a_test_mail_is_marked_as_a_test_and_fires_nothing(
    order: Order, alert: Alert, mailbox: Mailbox, owner: Browser
) -> None:
    services.change(alert, {"recipients": ["ops@example.com"]}, START)
    alert.refresh_from_db()
    mine, theirs = ask(owner, alert)
    assert mine.startswith("Test delivered to alice@example.com.")
    assert theirs.startswith("Test delivered to ops@example.com.")
    assert [mail["To"] for mail in mailbox.mails] == ["alice@example.com", "ops@example.com"]
    assert mailbox.mails[0]["Subject"] == "Test: alert for Residential 10 GB at 80 % of the traffic limit"
    for kind in ("plain", "html"):
        part = mailbox.mails[0].get_body((kind,))
        assert part is not None
        assert "This is a test" in part.get_content()
    assert not Firing.objects.exists()
    assert not Delivery.objects.exists()
    assert model_to_dict(Alert.objects.get()) == model_to_dict(alert)


def test_a_test_call_is_signed_and_marked_as_a_test(order: Order, receiver: WebhookReceiver, owner: Browser) -> None:
    alert = services.create(order, 80, Alert.Method.WEBHOOK, webhook_url=receiver.url("ok"), now=START)
    [said] = ask(owner, alert)
    assert said.startswith(f"Test delivered to {receiver.url('ok')}.")
    [(_, headers, body)] = receiver.calls
    told = json.loads(body)
    assert (told["type"], told["data"]["used_percent"]) == ("usage.test", 80.0)
    assert headers["Webhook-Id"] == told["id"] == str(AlertTest.objects.get().message_id)
    assert headers["Webhook-Signature"] == expected_signature(alert.webhook_secret, headers, body)
    assert Alert.objects.get().is_armed
    assert not Firing.objects.exists()


def test_a_refusal_by_the_receiver_is_shown_and_not_retried(
    order: Order, receiver: WebhookReceiver, owner: Browser, settings: Any
) -> None:
    alert = services.create(order, 80, Alert.Method.WEBHOOK, webhook_url=receiver.url("fail"), now=START)
    assert outcomes(alert) == [(alert.webhook_url, "Responded with status 500.")]
    [said] = shown(owner, alert)
    assert said.startswith(f"The test could not be delivered to {alert.webhook_url}. Responded with status 500.")
    AlertTest.objects.update(next_attempt_at=START)
    assert test_delivery.send_due() == 0
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES, settings.WEBHOOK_PORTS = False, [receiver.port]
    assert outcomes(alert) == [(alert.webhook_url, "Belongs to a private network.")]
    assert len(receiver.calls) == 1


def test_an_unavailable_mail_server_is_reported_without_its_error_text(
    order: Order, alert: Alert, mailbox: Mailbox, settings: Any
) -> None:
    mailbox.is_refusing = True
    told = [("alice@example.com", "Our mail server did not accept the message. Try again later.")]
    assert outcomes(alert) == told
    settings.EMAIL_PORT = 1
    assert outcomes(alert) == told


def test_an_address_that_refuses_mail_is_named_and_the_others_get_mail(
    order: Order, alert: Alert, mailbox: Mailbox
) -> None:
    unwritable = "a@" + "\u00fc" * 60 + ".com"
    Alert.objects.update(recipients=[unwritable, "gone@example.com", "ops@example.com"])
    alert.refresh_from_db()
    mailbox.unknown.add("gone@example.com")
    bad = "No mail can be sent to this address. Check its spelling."
    assert outcomes(alert) == [
        ("alice@example.com", ""),
        (unwritable, bad),
        ("gone@example.com", bad),
        ("ops@example.com", ""),
    ]
    assert [mail["To"] for mail in mailbox.mails] == ["alice@example.com", "ops@example.com"]


def test_an_unsubscribed_address_gets_no_test_mail(
    order: Order, alert: Alert, mailbox: Mailbox, owner: Browser
) -> None:
    Unsubscription.objects.create(order=order, address="alice@example.com")
    [said] = ask(owner, alert)
    assert said.startswith("No recipients")
    assert mailbox.mails == []


def test_a_customer_sends_five_tests_an_hour_over_all_alerts(
    order: Order, alert: Alert, mailbox: Mailbox, owner: Browser
) -> None:
    other = services.create(order, 90, Alert.Method.EMAIL, now=START + timedelta(minutes=1))
    for one in (alert, other, alert, other, alert):
        ask(owner, one)
    [said] = ask(owner, other)
    assert said.startswith("You can send five tests an hour. Try again in ")
    assert len(mailbox.mails) == 5


def test_requesting_a_test_does_not_wait_for_the_receiver_or_dns(
    order: Order, receiver: WebhookReceiver, owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = services.create(order, 80, Alert.Method.WEBHOOK, webhook_url="https://slow.example/x", now=START)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a request looked a name up"))
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("a request opened a connection"))
    assert owner.post(f"/dashboard/alerts/{alert_id(alert.pk)}/test").status_code == 302
    assert [test.state for test in AlertTest.objects.all()] == ["waiting"]


def test_a_new_test_replaces_the_previous_one(order: Order, alert: Alert, owner: Browser) -> None:
    for _ in range(2):
        owner.post(f"/dashboard/alerts/{alert_id(alert.pk)}/test")
    assert AlertTest.objects.count() == 1


def test_another_customers_alert_cannot_be_tested(order: Order, alert: Alert, bob: Any) -> None:
    browser = Browser()
    browser.force_login(bob)
    assert browser.post(f"/dashboard/alerts/{alert_id(alert.pk)}/test").status_code == 404
    assert not AlertTest.objects.exists()
