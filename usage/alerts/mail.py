"""The e-mail of a firing, and its unsubscribe link."""

from __future__ import annotations

from datetime import timedelta
from email.utils import parseaddr
from typing import Final

from django.conf import settings
from django.core import signing
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import translation

from fonproxy.delivery import Undeliverable
from fonproxy.mail_addresses import has_ascii_form
from orders.models import Order
from usage.alerts import texts
from usage.ids import alert_id
from usage.models import Firing

SALT: Final = "unsubscribe"
BAD_ADDRESS: Final = "No mail can be sent to this address. Check its spelling."
TOKEN_LIFETIME: Final = timedelta(days=60)


def send(firing: Firing, address: str, *, is_test: bool = False) -> None:
    """Makes one attempt; raises OSError, SMTPException or Undeliverable. Retries have the same Message-ID."""
    if not has_ascii_form(address):
        raise Undeliverable(BAD_ADDRESS)
    with translation.override(firing.alert.order.user.language):
        message = _message(firing, address, is_test)
    message.send()


def _message(firing: Firing, address: str, is_test: bool) -> EmailMultiAlternatives:
    order = firing.alert.order
    link = unsubscribe_link(order, address)
    context = {
        "title": texts.title(firing),
        "rows": texts.rows(firing),
        "reason": texts.reason(firing),
        "percent": texts.percent_used(firing),
        "is_default": firing.alert.is_default,
        "usage": f"{settings.PUBLIC_URL}/dashboard/explore?order={order.published_id}",
        "alert": f"{settings.PUBLIC_URL}/dashboard/alerts/{alert_id(firing.alert_id)}",
        "top_up": str(settings.TOP_UP_URL or "").replace("{order}", order.published_id),
        "unsubscribe": link,
        "is_test": is_test,
    }
    _, sender = parseaddr(settings.DEFAULT_FROM_EMAIL)
    domain = sender.rpartition("@")[2] or "localhost"
    message = EmailMultiAlternatives(
        subject=_subject(firing, is_test),
        body=render_to_string("emails/usage_alert.txt", context),
        to=[address],
        headers={
            "Message-ID": f"<{firing.id}@{domain}>",
            "X-FonProxy-Firing": str(firing.id),
            "Auto-Submitted": "auto-generated",
            "List-Unsubscribe": f"<{link}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    )
    message.attach_alternative(render_to_string("emails/usage_alert.html", context), "text/html")
    return message


def _subject(firing: Firing, is_test: bool) -> str:
    """The subject on one line: a name may contain characters that would end a header."""
    text = f"Test: alert for {firing.alert.order.name} {texts.reason(firing)}" if is_test else texts.subject(firing)
    return " ".join(text.split())


def unsubscribe_link(order: Order, address: str) -> str:
    token = signing.dumps({"order": order.pk, "address": address.lower()}, salt=SALT)
    return f"{settings.PUBLIC_URL}/alerts/unsubscribe/{token}"


def read_token(token: str) -> tuple[int, str]:
    """The order's number and the address of an unsubscribe link; raises BadSignature."""
    payload = signing.loads(token, salt=SALT, max_age=TOKEN_LIFETIME)
    return payload["order"], payload["address"]
