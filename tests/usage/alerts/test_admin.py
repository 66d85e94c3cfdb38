"""Staff see every alert and firing, and send one again."""

from __future__ import annotations

from django.test import Client as Browser
from django.urls import reverse

from accounts.models import Order, User
from tests.usage.alerts.conftest import GB, START
from tests.usage.helpers import carry_and_post
from usage.alerts import evaluation
from usage.models import Alert, Delivery, Firing


def boss(browser: Browser) -> Browser:
    user = User.objects.create_superuser("boss")
    browser.force_login(user)
    return browser


def test_a_firing_is_listed_and_sent_again(order: Order, alert: Alert, client: Browser) -> None:
    carry_and_post(order, START, 9 * GB)
    evaluation.evaluate(START)
    Delivery.objects.update(gave_up_at=START, attempts=14, last_error="Answered 500.")
    page = boss(client).get(reverse("admin:usage_firing_changelist"), {"delivery": "given-up"}).content.decode()
    assert "0 of 1" in page
    assert "Answered 500." in page
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
        "threshold_percent": 70,
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
            "threshold_percent": 75,
            "recipients": "a@example.com\nb@example.com",
            "webhook_url": "https://93.184.216.34/",
        },
    )
    alert.refresh_from_db()
    assert alert.threshold_percent == 75
    assert alert.recipients == ["a@example.com", "b@example.com"]
    assert "a@example.com\nb@example.com</textarea>" in client.get(change).content.decode()
    unsound = client.post(change, {"threshold_percent": 75, "recipients": "nobody"})
    assert "Enter a valid email address." in unsound.content.decode()
    again = client.post(page, {**given, "threshold_percent": 75, "webhook_url": "https://93.184.216.34/"})
    assert again.status_code == 200
    assert "There is such an alert already." in again.content.decode()
