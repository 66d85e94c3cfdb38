"""Firings reach Slack, Discord, Telegram and Microsoft Teams, and their tokens reach nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from fonproxy.webhooks import DeliveryFailed
from orders.models import Order
from tests.usage.alerts.chats import REFUSALS, TARGETS, TEAMS, Chats, chats
from tests.usage.alerts.conftest import GB, START
from tests.usage.helpers import carry_and_post
from usage.alerts import chat, deliveries, evaluation, services, test_delivery
from usage.models import Alert, AlertTest, Delivery, Firing

LINES = "Used: 9 GB of 10 GB"


@pytest.fixture
def services_online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chats]:
    with chats(tmp_path, monkeypatch) as running:
        yield running


def fired(order: Order, method: str) -> Delivery:
    services.create(order, 80, method, chat_target=TARGETS[method], now=START)
    carry_and_post(order, START, 9 * GB)
    assert evaluation.evaluate(START) == 1
    return Delivery.objects.get()


def slack(body: dict[str, Any]) -> str:
    [attachment] = body["attachments"]
    return f"{attachment['title']}\n{attachment['text']}"


def teams(body: dict[str, Any]) -> str:
    [attachment] = body["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    return "\n".join(block["text"] for block in attachment["content"]["body"])


def telegram(body: dict[str, Any]) -> str:
    assert body["chat_id"] == -1001234
    return str(body["text"])


SHAPES = {
    "slack": ("hooks.slack.com", "/services/T1JJ3T3L2/B1BRTD4JD/TIiajkdnlazkcOXrIdevi7", slack),
    "discord": (
        "discord.com",
        "/api/webhooks/4174216298000/JHMHI8qBe7bk2ZwO5U711o3dV_js",
        lambda body: body["content"],
    ),
    "telegram": (
        "api.telegram.org",
        "/bot123456789:alphanumericABCDEFGHIJ_klmnopqrs-tuv/sendMessage",
        telegram,
    ),
    "msteams": (
        TEAMS,
        "/workflows/abcdef0123/triggers/manual/paths/invoke"
        "?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=aBcD-eF_gHiJkL",
        teams,
    ),
}


@pytest.mark.parametrize("method", TARGETS)
def test_a_firing_arrives_in_the_shape_of_the_service(method: str, order: Order, services_online: Chats) -> None:
    Order.objects.update(name="Residential <!channel> & 10 GB")
    row = fired(order, method)
    assert deliveries.attempt(row.pk)
    host, path, text = SHAPES[method]
    [(called, at, body)] = services_online.calls
    assert (called, at) == (host, path)
    assert "Residential \u2039!channel\u203a" in text(body)
    assert LINES in text(body)
    assert not deliveries.attempt(row.pk)
    assert len(services_online.calls) == 1


@pytest.mark.parametrize("method", TARGETS)
def test_a_refusal_is_kept_and_tried_again(method: str, order: Order, services_online: Chats) -> None:
    services_online.mode = "refuse"
    row = fired(order, method)
    assert not deliveries.attempt(row.pk)
    row.refresh_from_db()
    assert row.last_error == f"Responded with status {REFUSALS[SHAPES[method][0]][0]}."
    assert row.delivered_at is None
    services_online.mode = "answer"
    assert not deliveries.attempt(row.pk)  # not before it is due
    Delivery.objects.update(next_attempt_at=timezone.now())
    assert deliveries.attempt(row.pk)


def test_redirects_are_not_followed(order: Order, services_online: Chats) -> None:
    services_online.mode = "redirect"
    row = fired(order, "discord")
    assert not deliveries.attempt(row.pk)
    assert len(services_online.calls) == 1


@pytest.mark.parametrize("method", TARGETS)
def test_a_hanging_chat_service_times_out_and_a_slow_one_does_not(
    method: str, order: Order, services_online: Chats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hanging one would answer in the end: the delivery fails because nobody waits that long."""
    services_online.mode = "hang"
    row = fired(order, method)
    with monkeypatch.context() as patch:
        patch.setattr(chat, "TIMEOUTS", {**chat.TIMEOUTS, "rto": 1.0})
        assert not deliveries.attempt(row.pk)
    row.refresh_from_db()
    assert (row.last_error, row.attempts, row.delivered_at) == ("No valid response in time.", 1, None)
    services_online.mode = "slow"
    Delivery.objects.update(next_attempt_at=timezone.now())
    assert deliveries.attempt(row.pk)
    assert Firing.objects.count() == 1


def test_a_service_whose_certificate_is_not_trusted_gets_nothing(
    order: Order, services_online: Chats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    row = fired(order, "slack")
    assert not deliveries.attempt(row.pk)
    assert services_online.calls == []


REFUSED = {
    "another host": ("slack", "https://hooks.slack.com.example.com/services/T1/B1/abcdefghijkl"),
    "another port": ("slack", "https://hooks.slack.com:8443/services/T1/B1/abcdefghijkl"),
    "no TLS": ("slack", "http://hooks.slack.com/services/T1/B1/abcdefghijkl"),
    "a user": ("discord", "https://discord.com@evil.example/api/webhooks/12345/abcdefghijklmnop"),
    "Apprise's options": ("discord", f"{TARGETS['discord']}?template=/etc/passwd"),
    "no verification": ("msteams", f"{TARGETS['msteams']}&verify=no"),
    "a private host": ("msteams", TARGETS["msteams"].replace(TEAMS, "10.0.0.1")),
    "a host that ends like Microsoft's": ("msteams", TARGETS["msteams"].replace(TEAMS, "evillogic.azure.com")),
    "another service": ("slack", TARGETS["discord"]),
    "Apprise's own form": ("slack", "slack://T1JJ3T3L2/B1BRTD4JD/TIiajkdnlazkcOXrIdevi7"),
    "two chats": ("telegram", f"{TARGETS['telegram']}/-100999"),
    "a line break": ("telegram", f"{TARGETS['telegram']}\n"),
    "nothing": ("telegram", ""),
}


@pytest.mark.parametrize(("method", "target"), REFUSED.values(), ids=REFUSED)
def test_other_targets_are_refused(method: str, target: str) -> None:
    with pytest.raises(chat.BadTarget):
        chat.check(method, target)
    with pytest.raises(DeliveryFailed):
        chat.send(method, target, "title", "body")


def test_a_token_is_sealed_and_only_its_end_is_shown(
    order: Order, services_online: Chats, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        row = fired(order, "slack")
        services_online.mode = "refuse"
        deliveries.attempt(row.pk)
    token = TARGETS["slack"].rpartition("/")[2]
    with connection.cursor() as cursor:
        for table in ("alerts", "alert_firings", "alert_deliveries"):
            cursor.execute(f"SELECT * FROM {table}")
            assert token not in str(cursor.fetchall())
    assert token not in caplog.text
    assert row.target == "https://hooks.slack.com/services/T1JJ3T3L2/\u2026evi7"
    settings.SEALING_KEYS = ["ab" * 32, *settings.SEALING_KEYS]
    call_command("reseal_secrets", stdout=StringIO())
    settings.SEALING_KEYS = settings.SEALING_KEYS[:1]
    assert Alert.objects.get().chat == TARGETS["slack"]
    settings.SEALING_KEYS = ["cd" * 32]
    Delivery.objects.update(next_attempt_at=timezone.now())
    assert not deliveries.attempt(row.pk)
    row.refresh_from_db()
    assert "stored under another secret key" in row.last_error


def test_a_chat_that_cannot_be_read_any_more_is_kept_while_its_threshold_changes_and_can_be_replaced(
    order: Order, settings: Any
) -> None:
    alert = services.create(order, 80, "slack", chat_target=TARGETS["slack"], now=START)
    settings.SEALING_KEYS = ["cd" * 32]
    changed = services.change(alert, {"threshold": 70}, START)
    assert (changed.threshold, changed.target, changed.sealed_chat) == (70, alert.target, alert.sealed_chat)
    assert changed.masked_chat == alert.masked_chat
    fresh = TARGETS["slack"].replace("evi7", "evi8")
    changed = services.change(alert, {"chat": fresh}, START)
    assert changed.chat == fresh
    assert changed.masked_chat.endswith("evi8")
    assert changed.target != alert.target


def test_waiting_messages_go_to_the_new_chat_after_a_change(order: Order, services_online: Chats) -> None:
    services_online.mode = "refuse"
    row = fired(order, "slack")
    deliveries.attempt(row.pk)
    fresh = TARGETS["slack"].replace("evi7", "evi8")
    services.change(Alert.objects.get(), {"chat": fresh}, timezone.now() - timedelta(seconds=1))
    services_online.mode = "answer"
    assert deliveries.attempt(row.pk)
    assert services_online.calls[-1][1].endswith("evi8")


def outcome_of(alert: Alert) -> tuple[str, str]:
    test_delivery.request(alert, timezone.now())
    test = AlertTest.objects.get()
    test_delivery.attempt(test.pk)
    test.refresh_from_db()
    return test.target, test.last_error


def test_a_test_message_is_marked_as_a_test(order: Order, services_online: Chats) -> None:
    alert = services.create(order, 5, "telegram", kind="error_rate", chat_target=TARGETS["telegram"], now=START)
    assert outcome_of(alert) == ("tgram://123456789:\u2026-tuv/-1001234", "")
    [(_, _, body)] = services_online.calls
    assert "Test, with invented figures: 5 % of the requests of Residential 10 GB failed" in body["text"]
    services_online.mode = "refuse"
    assert outcome_of(alert)[1] == "Responded with status 403."
    assert not alert.firings.exists()
