"""The mail about a firing, and the link that ends such mails."""

from __future__ import annotations

from email.utils import parseaddr
from typing import Any, Final

from django.conf import settings
from django.core import signing
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.template.loader import render_to_string

from accounts.models import Order
from usage.models import Firing
from usage.v1.ids import subscription_id

SALT: Final = "unsubscribe"
GB: Final = 2**30


def send(firing: Firing, address: str, *, is_test: bool = False, connection: BaseEmailBackend | None = None) -> None:
    """Sends it once; raises OSError or SMTPException. Every repetition carries the same Message-ID."""
    order = firing.alert.order
    link = unsubscribe_link(order, address)
    context = _context(firing, link) | {"is_test": is_test}
    _, sender = parseaddr(settings.DEFAULT_FROM_EMAIL)
    domain = sender.rpartition("@")[2] or "localhost"
    message = EmailMultiAlternatives(
        subject=" ".join(render_to_string("emails/usage_alert_subject.txt", context).split()),
        body=render_to_string("emails/usage_alert.txt", context),
        to=[address],
        connection=connection,
        headers={
            "Message-ID": f"<{firing.id}@{domain}>",
            "X-FonProxy-Firing": str(firing.id),
            "Auto-Submitted": "auto-generated",
            "List-Unsubscribe": f"<{link}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    )
    message.attach_alternative(render_to_string("emails/usage_alert.html", context), "text/html")
    message.send()


def _context(firing: Firing, link: str) -> dict[str, Any]:
    order = firing.alert.order
    return {
        "order": order,
        "subscription_id": subscription_id(order.pk),
        "percent": f"{firing.percent:g}",
        "threshold": firing.threshold_percent,
        "used_gb": f"{firing.used_bytes / GB:,.2f}",
        "limit_gb": f"{firing.limit_bytes / GB:,.2f}",
        "is_used_up": firing.used_bytes >= firing.limit_bytes,
        "runs_out_at": firing.runs_out_at,
        "fired_at": firing.fired_at,
        "home": settings.PUBLIC_URL,
        "unsubscribe": link,
    }


def unsubscribe_link(order: Order, address: str) -> str:
    token = signing.dumps({"order": order.pk, "address": address.lower()}, salt=SALT)
    return f"{settings.PUBLIC_URL}/alerts/unsubscribe/{token}"


def read_token(token: str) -> tuple[int, str]:
    """The order's number and the address of a link; raises BadSignature."""
    held = signing.loads(token, salt=SALT)
    return held["order"], held["address"]
