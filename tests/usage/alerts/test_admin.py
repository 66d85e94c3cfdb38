"""Staff see every alert and firing, and send one again."""

from __future__ import annotations

from django.contrib.admin.models import LogEntry
from django.test import Client as Browser
from django.urls import reverse

from accounts.models import User
from orders.models import Order
from tests.usage.alerts.conftest import GB, START
from tests.usage.helpers import carry_and_post
from usage.alerts import evaluation
from usage.models import Alert, Delivery, Firing, Unsubscription


def boss(browser: Browser) -> Browser:
    user = User.objects.create_superuser("boss")
    browser.force_login(user)
    return browser


def test_a_firing_is_listed_and_sent_again(order: Order, alert: Alert, client: Browser) -> None:
    carry_and_post(order, START, 9 * GB)
    evaluation.evaluate(START)
    Delivery.objects.update(gave_up_at=START, attempts=14, last_error="Responded with status 500.")
    page = boss(client).get(reverse("admin:usage_firing_changelist"), {"delivery": "given_up"}).content.decode()
    assert "0 of 1" in page
    assert "Responded with status 500." in page
    assert client.get(reverse("admin:usage_firing_change", args=[Firing.objects.get().pk])).status_code == 200
    chosen = {"action": "send_again", "_selected_action": [str(Firing.objects.get().pk)]}
    answer = client.post(reverse("admin:usage_firing_changelist"), chosen, follow=True)
    assert "1 messages will be sent again" in answer.content.decode()
    delivery = Delivery.objects.get()
    assert (delivery.attempts, delivery.gave_up_at, delivery.last_error) == (0, None, "")


def test_an_alert_is_made_and_changed(order: Order, client: Browser) -> None:
    page = reverse("admin:usage_alert_add")
    given = {
        "order": order.pk,
        "kind": "usage_percent",
        "threshold": 70,
        "method": "webhook",
        "recipients": "a@example.com\nb@example.com",
    }
    refused = boss(client).post(page, {**given, "webhook_url": "http://127.0.0.1/"})
    assert "private network" in refused.content.decode()
    answer = client.post(page, {**given, "webhook_url": "https://93.184.216.34/"})
    assert answer.status_code == 302, answer.content.decode()
    alert = Alert.objects.get()
    assert alert.webhook_secret
    change = reverse("admin:usage_alert_change", args=[alert.pk])
    client.post(
        change,
        {
            "threshold": 75,
            "recipients": "a@example.com\nb@example.com",
            "webhook_url": "https://93.184.216.34/",
        },
    )
    alert.refresh_from_db()
    assert alert.threshold == 75
    assert alert.recipients == ["a@example.com", "b@example.com"]
    assert "a@example.com\nb@example.com</textarea>" in client.get(change).content.decode()
    for address in ("nobody", "a@\u05d0a1.com"):
        unsound = client.post(change, {"threshold": 75, "recipients": address})
        assert "Enter a valid email address." in unsound.content.decode()
    again = client.post(page, {**given, "threshold": 75, "webhook_url": "https://93.184.216.34/"})
    assert again.status_code == 200
    assert "The subscription already has an alert with this threshold and target." in again.content.decode()


def test_an_alert_s_admin_page_explains_why_it_has_not_fired(order: Order, alert: Alert, client: Browser) -> None:
    page = reverse("admin:usage_alert_change", args=[alert.pk])
    carry_and_post(order, START, 7 * GB)
    assert "Usage is 7.00 GB of 10.00 GB: below the threshold (80 %)." in boss(client).get(page).content.decode()
    carry_and_post(order, START, GB)
    assert "it fires at the next evaluation" in client.get(page).content.decode()
    evaluation.evaluate(START)
    assert "it has fired, and is rearmed when" in client.get(page).content.decode()
    Order.objects.update(expires_at=START)
    assert "Not evaluated: the order expired at" in client.get(page).content.decode()
    Order.objects.update(traffic_limit_bytes=0)
    assert "Not evaluated: the order has no positive limit" in client.get(page).content.decode()


def test_an_alert_s_admin_page_warns_when_it_has_no_recipient(order: Order, alert: Alert, client: Browser) -> None:
    Unsubscription.objects.create(order=order, address=order.user.email)
    page = boss(client).get(reverse("admin:usage_alert_change", args=[alert.pk])).content.decode()
    assert "every address has unsubscribed" in page


def test_an_alert_to_a_chat_is_made_and_its_token_is_not_shown(order: Order, client: Browser) -> None:
    page = reverse("admin:usage_alert_add")
    given = {
        "order": order.pk,
        "kind": "error_rate",
        "threshold": 101,
        "method": "slack",
        "chat": "https://example.com",
    }
    refused = boss(client).post(page, given).content.decode()
    assert "less than or equal to 100" in refused
    assert "Must be a Slack incoming webhook" in refused
    slack = "https://hooks.slack.com/services/T1JJ3T3L2/B1BRTD4JD/TIiajkdnlazkcOXrIdevi7"
    assert client.post(page, {**given, "threshold": 10, "chat": slack}).status_code == 302
    alert = Alert.objects.get()
    change = reverse("admin:usage_alert_change", args=[alert.pk])
    shown = client.get(change).content.decode()
    assert "https://hooks.slack.com/services/T1JJ3T3L2/\u2026evi7" in shown
    assert slack not in shown
    assert client.post(change, {"threshold": 11}).status_code == 302
    alert.refresh_from_db()
    assert (alert.threshold, alert.chat) == (11, slack)
    assert client.post(change, {"threshold": 11, "chat": slack.replace("evi7", "evi8")}).status_code == 302
    entries = [str(entry.get_change_message()) for entry in LogEntry.objects.order_by("pk")]
    assert [("threshold" in text, "chat" in text) for text in entries] == [(True, False), (True, False), (False, True)]
    assert "hooks.slack.com" not in "".join(entries)
