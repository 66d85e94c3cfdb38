"""The first page: remaining traffic, current usage, and first steps for new customers."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.core.paginator import Paginator
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.views.generic import TemplateView

from analytics import reports
from dashboard import connect
from dashboard.error_help import HELP
from dashboard.pages import CustomerPage
from fonproxy.clickhouse.errors import EngineUnavailable
from fonproxy.timerange import DAY
from fonproxy.units import GIB
from orders import selectors
from orders.models import Order
from usage import subscriptions
from usage.subscriptions import Allowance

PER_PAGE: Final = 6


@dataclass(frozen=True, slots=True)
class Subscription:
    """A card of the overview. Amounts are in GB; ``percent`` is of the limit, None without one.

    ``is_stopped``: the daily limit of an order without a traffic limit is reached.
    """

    order: Order
    status: str
    account: Allowance
    runs_out_at: datetime | None
    now: datetime
    is_stopped: bool = False

    @property
    def day_limit(self) -> float | None:
        return None if self.order.limits.day is None else self.order.limits.day / GIB

    @property
    def used(self) -> float:
        return self.account.used / GIB

    @property
    def limit(self) -> float | None:
        return None if self.account.limit is None else self.account.limit / GIB

    @property
    def left(self) -> float | None:
        return None if self.account.left is None else self.account.left / GIB

    @property
    def lasts(self) -> str:
        """The estimate as text; empty without one."""
        return lasts(self.runs_out_at - self.now) if self.runs_out_at and self.runs_out_at > self.now else ""

    @property
    def top_up(self) -> str:
        """Where the customer can buy more; empty without the setting."""
        return str(settings.TOP_UP_URL or "").replace("{order}", self.order.published_id)

    @property
    def percent(self) -> float | None:
        return None if not self.account.limit else self.account.used * 100 / self.account.limit


def lasts(time: timedelta) -> str:
    """A duration in words, rounded so coarsely that an estimate that changes with each request reads the same."""
    days = round(time / DAY)
    if days < 1:
        return gettext("less than a day")
    if days < 14:
        return ngettext("about %(n)s day", "about %(n)s days", days) % {"n": days}
    if days < 180:
        return gettext("about %(n)s weeks") % {"n": round(days / 7)}
    return gettext("about %(n)s months") % {"n": round(days / 30.4)}


def cards(orders: list[Order], now: datetime) -> list[Subscription]:
    accounts = subscriptions.accounts_of(orders)
    run_out = subscriptions.projected_exhaustions(orders, accounts, now)
    return [
        Subscription(order, order.status(now).value, accounts[order.pk], run_out[order.pk], now, order.is_stopped(now))
        for order in orders
    ]


def first_push(login: str, now: datetime) -> str:
    """A shell command that pushes one row of this proxy login."""
    row = {"ts": f"{now:%Y-%m-%d %H:%M:%S}", "proxy_user": login, "domain": "example.com", "count": 1}
    body = json.dumps({"logs": [row | {"bytes_sent": 1024, "bytes_received": 52480}]}, ensure_ascii=False)
    address = shlex.quote(f"{settings.PUBLIC_URL}/analytics/ingest")
    headers = "-H 'x-api-key: YOUR_INGEST_KEY' -H 'Content-Type: application/json'"
    return f"curl -i {address} {headers} \\\n  -d {shlex.quote(body)}"


def _has_traffic(user_id: int) -> bool:
    try:
        return reports.first_bucket(user_id) is not None
    except EngineUnavailable:
        return True  # remaining traffic comes from the ledger, and each panel reports errors itself


class OverviewPage(CustomerPage, TemplateView):
    def get_template_names(self) -> list[str]:
        return ["dashboard/overview.html" if self.has_traffic else "dashboard/first_run.html"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.has_traffic = _has_traffic(self.customer.pk)
        context = super().get_context_data(**kwargs)
        return context | (self._overview() if self.has_traffic else self._first_run())

    def _overview(self) -> dict[str, Any]:
        now = timezone.now()
        page = Paginator(selectors.orders_of(self.customer.pk), PER_PAGE).get_page(self.request.GET.get("page"))
        return {"page": page, "cards": cards(list(page), now), "error_help": HELP}

    def _first_run(self) -> dict[str, Any]:
        """First steps; for staff also how a gateway pushes traffic."""
        user = selectors.proxy_users_of(self.customer.pk).first()
        found = connect.context_of(user) if user else {}
        if self.request.user.has_powers:  # type: ignore[union-attr]  # signed in
            found["command"] = first_push(user.login if user else "LOGIN", timezone.now())
        return found
