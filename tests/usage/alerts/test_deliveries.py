"""Firings reach mailboxes and webhooks, at least once, under one id."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.test import Client as Browser
from django.utils import timezone

from accounts.models import Order, User
from tests.usage.alerts.conftest import GB, START
from tests.usage.alerts.receiver import Mailbox, Receiver
from tests.usage.helpers import carry_and_post
from usage.alerts import deliveries, evaluation, mail, services, webhooks
from usage.models import Alert, Delivery, Firing

Webhook = Callable[[str], Alert]


@pytest.fixture
def webhook(order: Order, receiver: Receiver) -> Webhook:
    def make(path: str) -> Alert:
        return services.create(order, 80, Alert.Method.WEBHOOK, webhook_url=receiver.url(path), now=START)

    return make


def fire(order: Order) -> Firing:
    carry_and_post(order, START, 9 * GB)
    assert evaluation.evaluate(START)
    return Firing.objects.latest("fired_at")


def try_all(now: datetime | None = None) -> list[bool]:
    Delivery.objects.update(next_attempt_at=now or START)
    return [deliveries.attempt(delivery.pk) for delivery in Delivery.objects.order_by("pk")]


def test_a_mail_says_which_subscription_is_at_what_percentage_of_what(
    order: Order, alert: Alert, mailbox: Mailbox
) -> None:
    services.change(alert, {"recipients": ["ops@example.com"]}, START)
    firing = fire(order)
    assert try_all() == [True, True]
    mine, theirs = sorted(mailbox.mails, key=lambda mail: str(mail["To"]))
    assert (mine["To"], theirs["To"]) == ("alice@example.com", "ops@example.com")
    assert mine["Subject"] == "Residential 10 GB has used 90 % of 10.00 GB"
    assert mine["Message-ID"].startswith(f"<{firing.id}@")
    for kind in ("plain", "html"):
        part = mine.get_body((kind,))
        assert part is not None
        text = part.get_content()
        assert "90 %" in text
        assert "9.00" in text
        assert f"sub_{order.published_id}" in text
        assert "at the pace of the last 7 days" in text
    assert try_all() == [False, False]
    assert len(mailbox.mails) == 2


def test_a_mail_says_honestly_that_it_will_last(order: Order, alert: Alert, mailbox: Mailbox) -> None:
    ends = START + timedelta(days=20)
    Order.objects.filter(pk=order.pk).update(expires_at=ends)
    carry_and_post(order, START, 9 * GB)
    assert evaluation.evaluate(START + timedelta(days=8)) == 1  # and nothing in the week before
    try_all()
    body = mailbox.mails[0].get_body(("plain",))
    assert body is not None
    assert f"not at this pace before it ends on {ends:%Y-%m-%d}" in body.get_content()


def test_the_link_ends_the_mails_of_that_address(order: Order, alert: Alert, mailbox: Mailbox) -> None:
    services.change(alert, {"recipients": ["Ops@example.com"]}, START)
    fire(order)
    try_all()
    [theirs] = [mail for mail in mailbox.mails if mail["To"] == "Ops@example.com"]
    path = re.sub(r"^<https?://[^/]*|>$", "", str(theirs["List-Unsubscribe"]).replace("\n", "").replace(" ", ""))
    browser = Browser(enforce_csrf_checks=True)
    assert b"No more mail about this subscription?" in browser.get(path).content
    assert b"gets no more mail" in browser.post(path, {"List-Unsubscribe": "One-Click"}).content
    assert browser.get(path[:-1]).status_code == 404
    deliveries.send_again(Delivery.objects.all(), START)
    try_all()
    assert [mail["To"] for mail in mailbox.mails].count("Ops@example.com") == 1
    assert [mail["To"] for mail in mailbox.mails].count("alice@example.com") == 2
    services.create(order, 85, Alert.Method.EMAIL, recipients=["ops@example.com"], now=START)
    evaluation.evaluate(START)
    assert not Delivery.objects.filter(target="ops@example.com").exists()


def test_a_webhook_is_called_with_a_signature_over_id_time_and_body(
    order: Order, webhook: Webhook, receiver: Receiver
) -> None:
    alert = webhook("ok")
    firing = fire(order)
    assert try_all() == [True]
    [(_, headers, body)] = receiver.calls
    assert headers["Webhook-Id"] == str(firing.id) == json.loads(body)["id"]
    assert abs(int(headers["Webhook-Timestamp"]) - time.time()) < 60
    signed = f"{headers['Webhook-Id']}.{headers['Webhook-Timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(base64.b64decode(alert.webhook_secret), signed, hashlib.sha256)).decode()
    assert headers["Webhook-Signature"] == f"v1,{expected}"
    data = json.loads(body)["data"]
    assert (data["subscription_id"], data["used_percent"]) == (f"sub_{order.published_id}", 90.0)


@pytest.mark.parametrize(
    ("path", "error"),
    [("fail", "Answered 500."), ("redirect", "Answered 302. Redirects are not followed.")],
)
def test_what_fails_is_tried_again_later_under_the_same_id(
    path: str, error: str, order: Order, webhook: Webhook, receiver: Receiver
) -> None:
    webhook(path)
    firing = fire(order)
    assert try_all() == [False]
    delivery = Delivery.objects.get()
    assert (delivery.attempts, delivery.last_error) == (1, error)
    assert delivery.next_attempt_at > timezone.now()
    assert not deliveries.attempt(delivery.pk)  # not before its time
    assert try_all() == [False]
    assert [headers["Webhook-Id"] for _, headers, _ in receiver.calls] == [str(firing.id)] * 2


@pytest.mark.parametrize("path", ["hang", "drip"])
def test_a_receiver_that_hangs_is_given_up_on_in_time(
    path: str, order: Order, webhook: Webhook, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "DEADLINE_SECONDS", 1.0)
    webhook(path)
    fire(order)
    assert try_all() == [False]
    assert Delivery.objects.get().last_error == "Took too long to answer."


def test_pauses_double_up_to_six_hours_and_then_it_is_given_up(order: Order, webhook: Webhook) -> None:
    assert [deliveries.pause_after(n).total_seconds() for n in (1, 2, 3, 10, 99)] == [30, 60, 120, 15360, 21600]
    webhook("fail")
    fire(order)
    Delivery.objects.update(attempts=deliveries.MOST_ATTEMPTS - 1)
    assert try_all() == [False]
    delivery = Delivery.objects.get()
    assert delivery.gave_up_at is not None
    assert try_all() == [False]
    deliveries.send_again(Delivery.objects.all(), timezone.now())
    delivery.refresh_from_db()
    assert delivery.attempts == 0
    assert delivery.gave_up_at is None


def test_a_mail_server_that_is_away_is_tried_again(order: Order, alert: Alert, mailbox: Mailbox) -> None:
    fire(order)
    mailbox.is_refusing = True
    assert try_all() == [False]
    assert "try later" in Delivery.objects.get().last_error
    mailbox.is_refusing = False
    assert try_all() == [True]


def test_a_claim_keeps_others_off_until_it_has_run_out(order: Order, alert: Alert, mailbox: Mailbox) -> None:
    fire(order)
    Delivery.objects.update(claimed_until=timezone.now() + timedelta(seconds=30), attempts=1)
    assert try_all() == [False]
    Delivery.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert try_all() == [True]


def test_one_hanging_receiver_delays_no_other_alert(
    committed: None,
    order: Order,
    webhook: Webhook,
    receiver: Receiver,
    mailbox: Mailbox,
    alert: Alert,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhooks, "DEADLINE_SECONDS", 60.0)
    for number in range(20):
        services.create(
            order,
            80,
            Alert.Method.WEBHOOK,
            webhook_url=receiver.url("hang") + "?" * (number > 0) + "x" * number,
            now=START,
        )
    fire(order)

    def send() -> None:
        deliveries.send_due()
        connections.close_all()

    sending = threading.Thread(target=send)
    sending.start()
    assert len(mailbox.wait_for(1, seconds=30)) == 1
    assert sending.is_alive()
    assert Delivery.objects.filter(claimed_until__isnull=False).count() <= deliveries.MOST_PER_CUSTOMER
    receiver.is_over.set()
    sending.join()


def test_a_customer_whose_receivers_hang_delays_no_other_customer(
    order: Order, webhook: Webhook, bob: User, make_order: Callable[..., Order]
) -> None:
    for number in range(30):
        services.create(order, 80, Alert.Method.WEBHOOK, webhook_url=f"https://h{number}.hanging.example/", now=START)
    theirs = make_order(bob, limit=GB, started_at=START, now=START)
    services.create(theirs, 80, Alert.Method.WEBHOOK, webhook_url="https://other.example/", now=START)
    carry_and_post(theirs, START, GB)
    fire(order)
    due = Delivery.objects.filter(pk__in=deliveries._due(Alert.Method.WEBHOOK))
    assert due.filter(target="https://other.example/").exists()
    assert due.count() == deliveries.MOST_PER_CUSTOMER + 1


def test_whatever_goes_wrong_is_kept_in_the_row_and_tried_later(
    order: Order, alert: Alert, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a template is broken")

    monkeypatch.setattr(mail, "send", broken)
    fire(order)
    assert try_all() == [False]
    delivery = Delivery.objects.get()
    assert (delivery.attempts, delivery.last_error) == (1, "a template is broken")
    assert delivery.next_attempt_at > timezone.now()


def test_what_waits_goes_where_the_alert_goes_now(order: Order, webhook: Webhook, receiver: Receiver) -> None:
    wrong = webhook("fail")
    mails = services.create(order, 80, Alert.Method.EMAIL, recipients=["Old@example.com", "old@example.com"], now=START)
    firing = fire(order)
    assert sorted(Delivery.objects.filter(firing__alert=mails).values_list("target", flat=True)) == [
        "Old@example.com",
        "alice@example.com",
    ]
    services.change(wrong, {"webhook_url": receiver.url("ok")}, START)
    services.change(mails, {"recipients": []}, START)
    assert not Delivery.objects.filter(target__iexact="old@example.com").exists()
    [delivery] = Delivery.objects.filter(firing__alert=wrong)
    assert deliveries.attempt(delivery.pk)
    assert receiver.calls[0][0] == "/ok"
    assert firing.alert.order == order


PRIVATE = (
    "http://127.0.0.1/",
    "http://localhost:8080/",
    "http://10.0.0.1/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data",
    "http://100.64.0.1/",
    "http://0.0.0.0/",
    "http://[::1]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://224.0.0.1/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://[fec0::1]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[3fff::1]/",
    "http://[5f00::1]/",
    "http://192.88.99.1/",
    "http://168.63.129.16/",
)
MALFORMED = (
    "ftp://example.com/",
    "example.com/hook",
    "https://",
    "https://user:secret@example.com/",
    "https://example.com:99999/",
    "https://example.com:0/",
    "https://exa mple.com/",
    "https://example.com/\n",
    "https://ex\u00e4mple.com/",
    "https://[::1/",
    "https://[::1%25lo]/",
    "https://example.com/" + "x" * 500,
)


@pytest.mark.parametrize("url", PRIVATE)
def test_private_addresses_are_refused(url: str) -> None:
    with pytest.raises(webhooks.BadUrl, match="private network"):
        webhooks.check_url(url)


@pytest.mark.parametrize("url", MALFORMED)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(webhooks.BadUrl):
        webhooks.check_url(url)


def test_a_name_whose_answer_changes_between_check_and_call_is_called_where_it_was_checked(
    order: Order, webhook: Webhook, receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = webhook("ok")
    rebinding = f"http://rebinding.example:{receiver.port}/ok"
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = False
    answers = iter(["93.184.216.34", "127.0.0.1", "127.0.0.1"])
    looked_up = 0

    def resolve(host: str, port: int, **_: Any) -> Any:
        nonlocal looked_up
        looked_up += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    webhooks.check_url(rebinding)
    Alert.objects.filter(pk=alert.pk).update(webhook_url=rebinding)
    fire(order)
    assert try_all() == [False]
    assert Delivery.objects.get().last_error == "Belongs to a private network."
    assert (looked_up, receiver.calls) == (2, [])
