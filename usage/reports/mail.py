"""A report as an e-mail: traffic compared with the previous period, by order, and the domains with most of it."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from email.utils import parseaddr
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core import signing
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.formats import date_format

from accounts.models import User
from analytics import reports
from analytics.reports import Usage
from fonproxy.delivery import Undeliverable
from fonproxy.mail_addresses import has_ascii_form
from fonproxy.timerange import days
from fonproxy.units import amount, localised
from orders.models import Order
from usage.models import ReportDelivery, ReportSubscription

DAY: Final = timedelta(days=1)
MAX_ORDERS: Final = 20
MAX_DOMAINS: Final = 10
MINUS: Final = "\N{MINUS SIGN}"
SALT: Final = "unsubscribe from reports"
TOKEN_LIFETIME: Final = timedelta(days=60)


class Figure(NamedTuple):
    name: str
    bytes: str
    requests: str
    change: str


def send(row: ReportDelivery) -> None:
    """Makes one attempt; raises EngineError, OSError, SMTPException or Undeliverable.

    Retries have the same Message-ID.
    """
    user = row.subscription.user
    if not (user.email and user.is_active):
        return
    if not has_ascii_form(user.email):
        raise Undeliverable("No mail can be sent to the address of the account. Check its spelling.")
    with translation.override(user.language):
        message = _message(row)
    message.send()


def _message(row: ReportDelivery) -> EmailMultiAlternatives:
    """Raises EngineError."""
    user = row.subscription.user
    link = unsubscribe_link(user)
    context = {**figures(row), "home": settings.PUBLIC_URL, "unsubscribe": link}
    _, sender = parseaddr(settings.DEFAULT_FROM_EMAIL)
    message = EmailMultiAlternatives(
        subject=f"Your traffic {context['period']}: {context['total'].bytes}",
        body=render_to_string("emails/usage_report.txt", context),
        to=[user.email],
        headers={
            "Message-ID": f"<report-{row.pk}-{row.starts_on}@{sender.rpartition('@')[2] or 'localhost'}>",
            "Auto-Submitted": "auto-generated",
            "List-Unsubscribe": f"<{link}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    )
    message.attach_alternative(render_to_string("emails/usage_report.html", context), "text/html")
    return message


def figures(row: ReportDelivery) -> dict[str, Any]:
    """The figures of the report. Raises EngineError."""
    user, zone = row.subscription.user, row.subscription.user.zone
    last = row.ends_on - DAY
    now_by_order = _by_order(user, row.starts_on, last)
    before_by_order = _by_order(user, *_before(row))
    total, before = sum(now_by_order.values(), Usage()), sum(before_by_order.values(), Usage())
    names = dict(Order.objects.filter(user=user).values_list("pk", "name"))
    found = sorted(now_by_order, key=lambda order: (-now_by_order[order].bytes, order))
    orders = [
        _line(names.get(order, str(order)), now_by_order[order], before_by_order.get(order, Usage()))
        for order in found[:MAX_ORDERS]
    ]
    domains = [
        Figure(domain, amount(size), localised(count), "")
        for domain, size, count in reports.top_domains(user.pk, days(row.starts_on, last, zone), MAX_DOMAINS)
    ]
    is_week = row.ends_on - row.starts_on == 7 * DAY
    return {
        "period": f"from {date_format(row.starts_on)} to {date_format(last)}"
        if is_week
        else f"in {row.starts_on:%B %Y}",
        "every": "week" if is_week else "month",
        "zone": str(zone),
        "total": _line("Total", total, before),
        "success": _success(total),
        "orders": orders,
        "more_orders": len(found) - len(orders),
        "domains": domains,
    }


def _before(row: ReportDelivery) -> tuple[date, date]:
    """First and last day of the previous period."""
    last = row.starts_on - DAY
    return (row.starts_on - 7 * DAY if row.ends_on - row.starts_on == 7 * DAY else last.replace(day=1)), last


def _by_order(user: User, first: date, last: date) -> dict[int, Usage]:
    found: dict[int, Usage] = defaultdict(Usage)
    for (order_id, _), usage in reports.by_order_and_country(user.pk, days(first, last, user.zone)).items():
        found[order_id] += usage
    return dict(found)


def _line(name: str, now: Usage, before: Usage) -> Figure:
    return Figure(name, amount(now.bytes), localised(now.requests), change(now.bytes, before.bytes))


def _success(total: Usage) -> str:
    if not total.requests:
        return "no requests"
    percent = max(100 - total.errors * 100 / total.requests, 0)
    return f"{localised(f'{percent:.1f}')} %"


def change(now: int, before: int) -> str:
    """The change of a size in per cent, as text."""
    if not before:
        return "new" if now else "unchanged"
    percent = (now - before) * 100 / before
    if now == before:
        return "unchanged"
    if abs(percent) < 1:
        return "about the same"
    return f"{'+' if percent > 0 else MINUS}{localised(f'{abs(percent):.0f}')} %"


def unsubscribe_link(user: User) -> str:
    return f"{settings.PUBLIC_URL}/reports/unsubscribe/{signing.dumps({'user': user.pk}, salt=SALT)}"


def subscription_of(token: str) -> ReportSubscription | None:
    """The subscription of an unsubscribe link, None if it no longer exists; raises BadSignature."""
    number = signing.loads(token, salt=SALT, max_age=TOKEN_LIFETIME)["user"]
    return ReportSubscription.objects.select_related("user").filter(user=number).first()
