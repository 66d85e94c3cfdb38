"""The first page: what is left, what is going on, and for a newcomer how to begin."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.core.paginator import Paginator
from django.utils import timezone
from django.views.generic import TemplateView

from accounts import selectors
from accounts.models import Order, ProxyUser
from analytics import reports
from fonproxy.clickhouse.errors import EngineUnavailable
from usage import subscriptions
from usage.dashboard.error_help import HELP
from usage.dashboard.pages import CustomerPage
from usage.subscriptions import Account

PER_PAGE: Final = 6
GB: Final = 2**30


@dataclass(frozen=True, slots=True)
class Subscription:
    """A card of the overview. Amounts are in GB; ``percent`` is of the limit, None without one."""

    order: Order
    status: str
    account: Account
    runs_out_at: datetime | None

    @property
    def used(self) -> float:
        return self.account.used / GB

    @property
    def limit(self) -> float | None:
        return None if self.account.limit is None else self.account.limit / GB

    @property
    def left(self) -> float | None:
        return None if self.account.left is None else self.account.left / GB

    @property
    def percent(self) -> float | None:
        return None if not self.account.limit else self.account.used * 100 / self.account.limit


def cards(orders: list[Order], now: datetime) -> list[Subscription]:
    accounts = subscriptions.accounts_of(orders)
    run_out = subscriptions.projected_exhaustions(orders, accounts, now)
    return [Subscription(order, order.status(now).value, accounts[order.pk], run_out[order.pk]) for order in orders]


def first_push(login: str, now: datetime) -> str:
    """A shell's command that pushes one row of this proxy login."""
    row = {"ts": f"{now:%Y-%m-%d %H:%M:%S}", "proxy_user": login, "domain": "example.com", "count": 1}
    body = json.dumps({"logs": [row | {"bytes_sent": 1024, "bytes_received": 52480}]}, ensure_ascii=False)
    address = shlex.quote(f"{settings.PUBLIC_URL}/analytics/ingest")
    headers = "-H 'x-api-key: YOUR_INGEST_KEY' -H 'Content-Type: application/json'"
    return f"curl -i {address} {headers} \\\n  -d {shlex.quote(body)}"


def _has_traffic(user_id: int) -> bool:
    try:
        return reports.first_bucket(user_id) is not None
    except EngineUnavailable:
        return True  # what is left is known all the same, and each panel says for itself what is away


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
        return {"page": page, "cards": cards(list(page), now), "now": now, "error_help": HELP}

    def _first_run(self) -> dict[str, Any]:
        logins = ProxyUser.objects.filter(order__user=self.customer).order_by("pk")
        login = logins.values_list("login", flat=True).first()
        return {"login": login, "command": first_push(login or "LOGIN", timezone.now())}
