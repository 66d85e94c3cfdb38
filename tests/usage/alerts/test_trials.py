"""A test delivery goes the way of real ones, says what it is, and leaves the alert as it was."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.forms.models import model_to_dict
from django.test import Client as Browser

from accounts.models import Order
from tests.usage.alerts.conftest import START
from tests.usage.alerts.receiver import Mailbox, Receiver
from usage.alerts import services, trials, webhooks
from usage.alerts.trials import Outcome
from usage.models import Alert, Delivery, Firing, Unsubscription
from usage.v1.ids import alert_id


@pytest.fixture
def owner(order: Order) -> Browser:
    browser = Browser()
    browser.force_login(order.user)
    return browser


def ask(browser: Browser, alert: Alert) -> list[str]:
    """What the page says after the button was pressed."""
    answer = browser.post(f"/dashboard/alerts/{alert_id(alert.pk)}/test", follow=True)
    assert answer.status_code == 200
    return [str(message) for message in answer.context["messages"]]


def test_a_test_mail_says_that_it_is_one_and_nothing_has_fired(
    order: Order, alert: Alert, mailbox: Mailbox, owner: Browser
) -> None:
    services.change(alert, {"recipients": ["ops@example.com"]}, START)
    alert.refresh_from_db()
    assert ask(owner, alert) == [
        "The test was delivered to alice@example.com.",
        "The test was delivered to ops@example.com.",
    ]
    assert [mail["To"] for mail in mailbox.mails] == ["alice@example.com", "ops@example.com"]
    assert mailbox.mails[0]["Subject"] == "Test: the alert of Residential 10 GB at 80 %"
    for kind in ("plain", "html"):
        part = mailbox.mails[0].get_body((kind,))
        assert part is not None
        assert "This is a test" in part.get_content()
    assert not Firing.objects.exists()
    assert not Delivery.objects.exists()
    assert model_to_dict(Alert.objects.get()) == model_to_dict(alert)


def test_a_test_call_is_signed_and_says_that_it_is_one(order: Order, receiver: Receiver, owner: Browser) -> None:
    alert = services.create(order, 80, Alert.Method.WEBHOOK, webhook_url=receiver.url("ok"), now=START)
    assert ask(owner, alert) == [f"The test was delivered to {receiver.url('ok')}."]
    [(_, headers, body)] = receiver.calls
    told = json.loads(body)
    assert (told["type"], told["data"]["used_percent"]) == ("usage.test", 80.0)
    signed = webhooks.signature(alert.webhook_secret, told["id"], int(headers["Webhook-Timestamp"]), body)
    assert headers["Webhook-Signature"] == signed
    assert Alert.objects.get().is_armed
    assert not Firing.objects.exists()


def test_what_keeps_a_receiver_from_taking_it_is_told(order: Order, receiver: Receiver, settings: Any) -> None:
    alert = services.create(order, 80, Alert.Method.WEBHOOK, webhook_url=receiver.url("fail"), now=START)
    assert trials.send(alert, START) == [Outcome(alert.webhook_url, "Answered 500.")]
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = False
    assert trials.send(alert, START) == [Outcome(alert.webhook_url, "Belongs to a private network.")]
    assert len(receiver.calls) == 1


def test_a_mail_server_that_is_away_is_told_without_what_it_said(
    order: Order, alert: Alert, mailbox: Mailbox, settings: Any
) -> None:
    mailbox.is_refusing = True
    assert trials.send(alert, START) == [Outcome("alice@example.com", "Our mail server did not take it.")]
    settings.EMAIL_PORT = 1
    assert trials.send(alert, START) == [Outcome("alice@example.com", "Our mail server did not take it.")]


def test_who_wants_no_more_mail_gets_no_test_either(
    order: Order, alert: Alert, mailbox: Mailbox, owner: Browser
) -> None:
    Unsubscription.objects.create(order=order, address="alice@example.com")
    [said] = ask(owner, alert)
    assert said.startswith("Nobody would be told")
    assert mailbox.mails == []


def test_a_customer_sends_five_tests_an_hour_whatever_the_alert(
    order: Order, alert: Alert, mailbox: Mailbox, owner: Browser
) -> None:
    other = services.create(order, 90, Alert.Method.EMAIL, now=START + timedelta(minutes=1))
    for one in (alert, other, alert, other, alert):
        ask(owner, one)
    [said] = ask(owner, other)
    assert said.startswith("Tests can be sent five times an hour. The next one in ")
    assert len(mailbox.mails) == 5


def test_receivers_that_hang_hold_only_a_few_places(order: Order, alert: Alert, owner: Browser) -> None:
    is_over = threading.Event()
    held = [threading.Thread(target=_hold, args=(is_over,)) for _ in range(trials.AT_ONCE)]
    for thread in held:
        thread.start()
    try:
        assert ask(owner, alert) == ["Other tests are being sent. Try again in a few seconds."]
    finally:
        is_over.set()
        for thread in held:
            thread.join()
    assert ask(owner, alert) == ["The test was delivered to alice@example.com."]


def _hold(is_over: threading.Event) -> None:
    with trials._places:
        is_over.wait(30)


def test_somebody_elses_alert_is_not_tested(order: Order, alert: Alert, mailbox: Mailbox, bob: Any) -> None:
    browser = Browser()
    browser.force_login(bob)
    assert browser.post(f"/dashboard/alerts/{alert_id(alert.pk)}/test").status_code == 404
    assert mailbox.mails == []
