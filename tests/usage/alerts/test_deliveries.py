"""Firings reach mailboxes and webhooks, at least once, under one id."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import StringIO
from typing import Any, TypeVar

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection, connections
from django.test import Client as Browser
from django.utils import timezone

from accounts.models import User
from fonproxy import delivery as delivering
from fonproxy import webhooks
from orders.models import Order
from tests.usage.alerts.conftest import GB, START
from tests.usage.alerts.receiver import Mailbox, WebhookReceiver, expected_signature
from tests.usage.helpers import carry_and_post
from usage.alerts import deliveries, evaluation, mail, services
from usage.ids import alert_id
from usage.models import Alert, Delivery, Firing, Unsubscription

Webhook = Callable[[str], Alert]
T = TypeVar("T")


@pytest.fixture
def webhook(order: Order, receiver: WebhookReceiver) -> Webhook:
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


@contextmanager
def in_background(receiver: WebhookReceiver, call: Callable[[], T]) -> Iterator[Future[T]]:
    """The call's future, in a thread of its own. At the end the receiver releases it, even if the test has failed."""

    def run() -> T:
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(run)
        finally:
            receiver.is_over.set()


def test_an_alert_mail_names_the_subscription_the_percentage_and_the_limit(
    order: Order, alert: Alert, mailbox: Mailbox
) -> None:
    services.change(alert, {"recipients": ["ops@example.com"]}, START)
    firing = fire(order)
    assert try_all() == [True, True]
    mine, theirs = sorted(mailbox.mails, key=lambda mail: str(mail["To"]))
    assert (mine["To"], theirs["To"]) == ("alice@example.com", "ops@example.com")
    assert mine["Subject"] == "Residential 10 GB has used 90 % of 10 GB, 1 GB left"
    assert mine["Message-ID"].startswith(f"<{firing.id}@")
    for kind in ("plain", "html"):
        part = mine.get_body((kind,))
        assert part is not None
        text = part.get_content()
        assert "90 %" in text
        assert "9 GB" in text
        assert f"sub_{order.published_id}" in text
        assert "at the rate of the last 7 days" in text
    assert try_all() == [False, False]
    assert len(mailbox.mails) == 2


def test_a_customers_alerts_send_a_limited_number_of_mails_a_day_to_further_recipients(
    order: Order, alert: Alert, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MAX_MAILS_A_DAY", 2)
    services.change(alert, {"recipients": ["a@example.com", "b@example.com"]}, START)
    fire(order)
    assert try_all() == [True, True, True]
    alert.delete()
    services.create(order, 70, Alert.Method.EMAIL, recipients=["c@example.com"], now=START)
    fire(order)
    own, further = Delivery.objects.order_by("pk")
    assert [deliveries.attempt(each.pk) for each in (own, further)] == [True, False]
    further.refresh_from_db()
    assert (own.target, further.state) == ("alice@example.com", "given_up")
    assert "2 mails to further recipients" in further.last_error
    Delivery.objects.filter(pk=further.pk).update(gave_up_at=None, next_attempt_at=START)
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        assert deliveries.attempt(further.pk)


def test_a_mail_links_to_the_subscription_and_a_top_up_and_uses_the_customers_time_zone(
    order: Order, alert: Alert, mailbox: Mailbox, settings: Any
) -> None:
    settings.TOP_UP_URL = "https://shop.example.com/top-up/{order}"
    User.objects.filter(pk=order.user_id).update(time_zone="Asia/Tokyo")
    fire(order)
    try_all()
    [mine] = mailbox.mails
    for kind in ("plain", "html"):
        part = mine.get_body((kind,))
        assert part is not None
        text = part.get_content()
        assert f"https://shop.example.com/top-up/{order.published_id}" in text
        assert f"/dashboard/explore?order={order.published_id}" in text
        assert f"/dashboard/alerts/{alert_id(alert.pk)}" in text
        assert "Asia/Tokyo" in text
    assert "width:90%" in text


def test_a_mail_writes_numbers_and_dates_as_the_customer(order: Order, alert: Alert, mailbox: Mailbox) -> None:
    User.objects.filter(pk=order.user_id).update(locale="en-de")
    firing = fire(order)
    Firing.objects.filter(pk=firing.pk).update(used_bytes=8 * GB + GB // 4, limit_bytes=1500 * GB)
    try_all()
    [mine] = mailbox.mails
    for kind in ("plain", "html"):
        part = mine.get_body((kind,))
        assert part is not None
        assert "8,25 GB of 1.500 GB" in part.get_content()
        assert f"{firing.fired_at:%d.%m.%Y %H:%M} UTC" in part.get_content()
    assert "0,5 %" in str(mine["Subject"])


def test_a_default_alerts_mail_says_that_it_came_with_the_subscription(
    order: Order, alert: Alert, mailbox: Mailbox
) -> None:
    Alert.objects.filter(pk=alert.pk).update(is_default=True)
    fire(order)
    try_all()
    body = mailbox.mails[0].get_body(("plain",))
    assert body is not None
    assert "This is a default alert of the subscription" in body.get_content()


def test_a_mail_says_that_the_traffic_outlasts_the_order(order: Order, alert: Alert, mailbox: Mailbox) -> None:
    ends = START + timedelta(days=20)
    Order.objects.filter(pk=order.pk).update(expires_at=ends)
    carry_and_post(order, START, 9 * GB)
    assert evaluation.evaluate(START + timedelta(days=8)) == 1  # and nothing in the week before
    try_all()
    body = mailbox.mails[0].get_body(("plain",))
    assert body is not None
    assert f"not at the current rate before it ends on {ends:%Y-%m-%d}" in body.get_content()


def test_the_unsubscribe_link_ends_mails_to_that_address(order: Order, alert: Alert, mailbox: Mailbox) -> None:
    services.change(alert, {"recipients": ["Ops@example.com"]}, START)
    fire(order)
    try_all()
    [theirs] = [mail for mail in mailbox.mails if mail["To"] == "Ops@example.com"]
    path = re.sub(r"^<https?://[^/]*|>$", "", str(theirs["List-Unsubscribe"]).replace("\n", "").replace(" ", ""))
    browser = Browser(enforce_csrf_checks=True)
    assert b"Unsubscribe from these alerts?" in browser.get(path).content
    assert b"will not receive alert e-mails" in browser.post(path, {"List-Unsubscribe": "One-Click"}).content
    assert browser.get(path[:-1]).status_code == 404
    delivering.send_again(Delivery.objects.all(), START)
    try_all()
    assert [mail["To"] for mail in mailbox.mails].count("Ops@example.com") == 1
    assert [mail["To"] for mail in mailbox.mails].count("alice@example.com") == 2
    services.create(order, 85, Alert.Method.EMAIL, recipients=["ops@example.com"], now=START)
    evaluation.evaluate(START)
    assert not Delivery.objects.filter(target="ops@example.com").exists()


def test_a_webhook_is_called_with_a_signature_over_id_time_and_body(
    order: Order, webhook: Webhook, receiver: WebhookReceiver
) -> None:
    alert = webhook("ok")
    firing = fire(order)
    assert try_all() == [True]
    [(_, headers, body)] = receiver.calls
    assert headers["Webhook-Id"] == str(firing.id) == json.loads(body)["id"]
    assert abs(int(headers["Webhook-Timestamp"]) - time.time()) < 60
    assert headers["Webhook-Signature"] == expected_signature(alert.webhook_secret, headers, body)
    data = json.loads(body)["data"]
    assert (data["subscription_id"], data["used_percent"]) == (f"sub_{order.published_id}", 90.0)


def test_a_customers_alerts_make_a_limited_number_of_calls_a_day(
    order: Order, webhook: Webhook, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused calls count too: an address that is not the customer's would refuse them all."""
    monkeypatch.setattr(deliveries, "MAX_CALLS_A_DAY", 2)
    webhook("fail")
    fire(order)
    tries = timezone.now() + timedelta(days=2)
    with time_machine.travel(tries.replace(hour=1)) as clock:
        for _ in range(3):
            assert try_all() == [False]
            clock.shift(timedelta(minutes=10))
        late = Delivery.objects.get()
        assert (len(receiver.calls), late.state) == (2, "failing")
        assert late.last_error == "Alerts of this account have made 2 calls today."
        clock.shift(timedelta(days=1))
        assert try_all() == [False]
    assert len(receiver.calls) == 3


@pytest.mark.parametrize(
    ("path", "error"),
    [("fail", "Responded with status 500."), ("redirect", "Responded with status 302. Redirects are not followed.")],
)
def test_a_failed_delivery_is_retried_under_the_same_id(
    path: str, error: str, order: Order, webhook: Webhook, receiver: WebhookReceiver
) -> None:
    webhook(path)
    firing = fire(order)
    assert try_all() == [False]
    delivery = Delivery.objects.get()
    assert (delivery.attempts, delivery.last_error) == (1, error)
    assert delivery.next_attempt_at > timezone.now()
    assert not deliveries.attempt(delivery.pk)  # not before it is due
    assert try_all() == [False]
    assert [headers["Webhook-Id"] for _, headers, _ in receiver.calls] == [str(firing.id)] * 2


@pytest.mark.parametrize("path", ["hang", "drip"])
def test_a_hanging_receiver_is_cut_off_by_the_timeout(
    path: str, order: Order, webhook: Webhook, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "DEADLINE_SECONDS", 1.0)
    webhook(path)
    fire(order)
    assert try_all() == [False]
    assert Delivery.objects.get().last_error == "No response in time."


def test_retries_back_off_to_six_hours_and_then_stop(order: Order, webhook: Webhook) -> None:
    assert [delivering.pause_after(n).total_seconds() for n in (1, 2, 3, 10, 99)] == [30, 60, 120, 15360, 21600]
    webhook("fail")
    fire(order)
    Delivery.objects.update(attempts=delivering.MAX_ATTEMPTS - 1)
    assert try_all() == [False]
    delivery = Delivery.objects.get()
    assert delivery.gave_up_at is not None
    assert try_all() == [False]
    delivering.send_again(Delivery.objects.all(), timezone.now())
    delivery.refresh_from_db()
    assert delivery.attempts == 0
    assert delivery.gave_up_at is None


def test_a_mail_to_an_invalid_address_is_abandoned_at_once_without_an_error(
    order: Order, alert: Alert, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    Alert.objects.update(recipients=["a@" + "\u00fc" * 60 + ".com"])  # as stored before such addresses were refused
    fire(order)
    assert sorted(try_all()) == [False, True]
    lost = Delivery.objects.get(delivered_at=None)
    assert (lost.attempts, lost.last_error) == (1, "No mail can be sent to this address. Check its spelling.")
    assert lost.gave_up_at is not None
    assert not any(record.exc_info for record in caplog.records)
    assert try_all() == [False, False]
    assert len(mailbox.mails) == 1


def test_the_last_attempt_calls_the_receiver_and_no_attempt_follows(
    order: Order, webhook: Webhook, receiver: WebhookReceiver
) -> None:
    webhook("fail")
    fire(order)
    Delivery.objects.update(attempts=delivering.MAX_ATTEMPTS - 1)
    assert try_all() == [False]
    assert Delivery.objects.get().last_error == "Responded with status 500."
    assert try_all() == [False]
    assert len(receiver.calls) == 1


def test_a_delivery_whose_last_attempt_did_not_finish_fails_without_another_call(
    order: Order, webhook: Webhook, receiver: WebhookReceiver
) -> None:
    webhook("ok")
    fire(order)
    Delivery.objects.update(attempts=delivering.MAX_ATTEMPTS, claimed_until=START)
    assert try_all() == [False]
    delivery = Delivery.objects.get()
    assert delivery.gave_up_at is not None
    assert delivery.delivered_at is None
    assert receiver.calls == []


def test_an_unavailable_mail_server_is_tried_again(order: Order, alert: Alert, mailbox: Mailbox) -> None:
    fire(order)
    mailbox.is_refusing = True
    assert try_all() == [False]
    assert "try later" in Delivery.objects.get().last_error
    mailbox.is_refusing = False
    assert try_all() == [True]


def test_a_hanging_mail_server_times_out_and_a_slow_one_does_not(
    order: Order, alert: Alert, mailbox: Mailbox, settings: Any
) -> None:
    fire(order)
    patience, settings.EMAIL_TIMEOUT = settings.EMAIL_TIMEOUT, 1
    mailbox.is_hanging = True
    assert try_all() == [False]
    assert "timed out" in Delivery.objects.get().last_error
    settings.EMAIL_TIMEOUT = patience
    mailbox.is_hanging, mailbox.is_slow = False, True
    assert try_all() == [True]
    assert Firing.objects.count() == 1


def test_a_claim_excludes_other_workers_until_it_expires(order: Order, alert: Alert, mailbox: Mailbox) -> None:
    fire(order)
    Delivery.objects.update(claimed_until=timezone.now() + timedelta(seconds=30), attempts=1)
    assert try_all() == [False]
    Delivery.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert try_all() == [True]


def test_a_delivery_is_not_tried_again_while_its_receiver_is_being_called(
    committed: None, order: Order, webhook: Webhook, receiver: WebhookReceiver
) -> None:
    webhook("hang")
    fire(order)
    delivery = Delivery.objects.get()
    with in_background(receiver, lambda: deliveries.attempt(delivery.pk)) as first:
        receiver.wait_for(1)
        assert try_all() == [False]
        receiver.is_over.set()
        assert first.result()
    assert len(receiver.calls) == 1
    delivery.refresh_from_db()
    assert (delivery.attempts, delivery.claimed_until) == (1, None)


def test_an_attempt_that_ends_after_its_claim_does_not_overwrite_the_next_attempt(
    committed: None, order: Order, webhook: Webhook, receiver: WebhookReceiver
) -> None:
    webhook("hang-fail")
    fire(order)
    delivery = Delivery.objects.get()
    with in_background(receiver, lambda: deliveries.attempt(delivery.pk)) as first:
        receiver.wait_for(1)
        Delivery.objects.update(claimed_until=START, target=receiver.url("ok"))
        assert try_all() == [True]
        arrived = Delivery.objects.values().get()
        receiver.is_over.set()
        assert not first.result()
    assert Delivery.objects.values().get() == arrived
    assert (arrived["attempts"], arrived["last_error"]) == (2, "")


def test_an_attempt_that_was_under_way_does_not_overwrite_one_that_was_sent_again(
    committed: None, order: Order, webhook: Webhook, receiver: WebhookReceiver
) -> None:
    webhook("hang-fail")
    fire(order)
    delivery = Delivery.objects.get()
    with in_background(receiver, lambda: deliveries.attempt(delivery.pk)) as first:
        receiver.wait_for(1)
        delivering.send_again(Delivery.objects.all(), START)
        Delivery.objects.update(target=receiver.url("ok"))
        assert deliveries.attempt(delivery.pk)
        arrived = Delivery.objects.values().get()
        receiver.is_over.set()
        assert not first.result()
    assert Delivery.objects.values().get() == arrived


def test_a_webhook_moved_during_an_attempt_is_called_at_its_new_address(
    committed: None, order: Order, webhook: Webhook, receiver: WebhookReceiver
) -> None:
    alert = webhook("hang")
    fire(order)
    delivery = Delivery.objects.get()
    with in_background(receiver, lambda: deliveries.attempt(delivery.pk)) as first:
        receiver.wait_for(1)
        services.change(alert, {"webhook_url": receiver.url("ok")}, START)
        receiver.is_over.set()
        first.result()
    Delivery.objects.update(claimed_until=None)
    assert try_all() == [True]
    assert [path for path, *_ in receiver.calls] == ["/hang", "/ok"]


def test_hanging_receivers_of_one_customer_take_two_threads_and_delay_no_mail(
    committed: None,
    order: Order,
    receiver: WebhookReceiver,
    mailbox: Mailbox,
    alert: Alert,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhooks, "DEADLINE_SECONDS", 60.0)
    for number in range(20):
        url = receiver.url(f"hang?{number}")
        services.create(order, 80, Alert.Method.WEBHOOK, webhook_url=url, now=START)
    fire(order)
    calls = Delivery.objects.filter(firing__alert__method=Alert.Method.WEBHOOK)
    with in_background(receiver, deliveries.send_due) as sending:
        receiver.wait_for(delivering.MAX_PER_OWNER)
        assert len(mailbox.wait_for(1, seconds=30)) == 1
        assert not sending.done()
        assert calls.filter(claimed_until__gt=timezone.now()).count() == delivering.MAX_PER_OWNER
        receiver.is_over.set()
        assert sending.result() == 1 + delivering.MAX_PER_OWNER
    assert calls.filter(attempts__gt=0).count() == delivering.MAX_PER_OWNER == len(receiver.calls)


def test_a_customer_whose_receivers_hang_delays_no_other_customer(
    order: Order, webhook: Webhook, bob: User, make_order: Callable[..., Order]
) -> None:
    for number in range(30):
        services.create(order, 80, Alert.Method.WEBHOOK, webhook_url=f"https://h{number}.hanging.example/", now=START)
    theirs = make_order(bob, limit=GB, started_at=START, now=START)
    services.create(theirs, 80, Alert.Method.WEBHOOK, webhook_url="https://other.example/", now=START)
    carry_and_post(theirs, START, GB)
    fire(order)
    due = Delivery.objects.filter(pk__in=deliveries.due(Alert.Method.WEBHOOK))
    assert due.filter(target="https://other.example/").exists()
    assert due.count() == delivering.MAX_PER_OWNER + 1


def test_any_error_is_recorded_in_the_row_and_retried(
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


def test_waiting_deliveries_follow_a_changed_target(order: Order, webhook: Webhook, receiver: WebhookReceiver) -> None:
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
    "http://localhost:8443/",
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
    "http://[64:ff9b::169.254.169.254]/",
    "http://[64:ff9b::10.0.0.1]/",
    "http://[64:ff9b::a83f:8110]/",
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
    "http://192.0.0.8/",
    "http://192.0.0.171/",
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
    "https://a..b/x",
    "https://.example.com/",
    "https://example.com../",
    f"https://{'a' * 64}.com/",
    "https://example.com/" + "x" * 500,
)


@pytest.mark.parametrize("url", PRIVATE)
def test_private_addresses_are_refused(url: str) -> None:
    with pytest.raises(webhooks.BadUrl, match="private network"):
        webhooks.check_url(url)


@pytest.mark.parametrize("host", ["93.184.216.34", "[2606:2800:21f::1]", "[64:ff9b::93.184.216.34]"])
def test_public_addresses_are_accepted_including_nat64_ones(host: str) -> None:
    webhooks.check_url(f"https://{host}/hook")


@pytest.mark.parametrize("port", [1, 22, 25, 6379, 8080, 9000, 65535])
def test_ports_of_other_services_are_refused(port: int) -> None:
    with pytest.raises(webhooks.BadUrl, match="Must use one of the ports 80, 443, 8443"):
        webhooks.check_url(f"https://93.184.216.34:{port}/")


@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_web_address_is_refused(url: str) -> None:
    with pytest.raises(webhooks.BadUrl):
        webhooks.check_url(url)


def test_a_url_is_checked_without_a_dns_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def resolve(host: str, port: int | None, **given: Any) -> Any:
        asked.append(given)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    webhooks.check_url("https://slow.example/")
    assert asked == [{"flags": socket.AI_NUMERICHOST}]


def test_a_webhook_connects_to_the_address_that_was_checked_even_if_dns_changes(
    order: Order, webhook: Webhook, receiver: WebhookReceiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = webhook("ok")
    rebinding = f"http://rebinding.example:{receiver.port}/ok"
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES, settings.WEBHOOK_PORTS = False, [receiver.port]
    answers = iter(["127.0.0.1", "93.184.216.34"])
    looked_up = 0

    def resolve(host: str, port: int | None, **given: Any) -> Any:
        nonlocal looked_up
        if given.get("flags") == socket.AI_NUMERICHOST:
            raise socket.gaierror
        looked_up += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    webhooks.check_url(rebinding)
    Alert.objects.filter(pk=alert.pk).update(webhook_url=rebinding)
    fire(order)
    assert try_all() == [False]
    assert Delivery.objects.get().last_error == "Belongs to a private network."
    assert (looked_up, receiver.calls) == (1, [])


BANNERS = [
    b"SSH-2.0-OpenSSH_9.2 internal-host\r\n",
    b"-ERR unknown command redis\r\n",
    b"",
    b"HTTP/1.1 abc internal\r\n\r\n",
]


@pytest.mark.parametrize("banner", BANNERS)
def test_the_banner_of_a_non_http_service_is_not_disclosed(
    banner: bytes, order: Order, webhook: Webhook, receiver: WebhookReceiver
) -> None:
    alert = webhook("ok")
    with socket.create_server(("127.0.0.1", 0)) as service, ThreadPoolExecutor(1) as pool:

        def answer() -> None:
            connection, _ = service.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(banner)

        answering = pool.submit(answer)
        Alert.objects.filter(pk=alert.pk).update(webhook_url=f"http://127.0.0.1:{service.getsockname()[1]}/")
        fire(order)
        assert try_all() == [False]
        answering.result()
    assert Delivery.objects.get().last_error in ("The response is not valid HTTP.", "Connection failed.")


def test_a_webhook_secret_is_encrypted_in_the_database(order: Order, webhook: Webhook, settings: Any) -> None:
    alert = webhook("ok")
    secret = alert.webhook_secret
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM alerts")
        assert secret not in str(cursor.fetchall())
    settings.SEALING_KEYS = ["ab" * 32, *settings.SEALING_KEYS]
    assert Alert.objects.get().webhook_secret == secret
    call_command("reseal_secrets", stdout=StringIO())
    settings.SEALING_KEYS = settings.SEALING_KEYS[:1]
    assert Alert.objects.get().webhook_secret == secret


def test_an_undecryptable_webhook_secret_is_reported(
    order: Order, webhook: Webhook, receiver: WebhookReceiver, settings: Any
) -> None:
    webhook("ok")
    settings.SEALING_KEYS = ["ab" * 32]
    fire(order)
    assert try_all() == [False]
    assert Delivery.objects.get().last_error == "This secret was stored under another secret key: create it again."
    assert receiver.calls == []


def test_a_link_to_stop_mails_expires(order: Order) -> None:
    link = mail.unsubscribe_link(order, "alice@example.com").removeprefix("http://127.0.0.1:8000")
    with time_machine.travel(timezone.now() + timedelta(days=59)):
        assert Browser().get(link).status_code == 200
    with time_machine.travel(timezone.now() + timedelta(days=61)):
        assert Browser().get(link).status_code == 404
        assert Browser().post(link).status_code == 404
    assert not Unsubscription.objects.exists()
