"""The page *Who runs out*: orders that run out or end, and customers without traffic; with its CSV."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from console import outlook as reads
from console.navigation import CUSTOMERS_AND_ORDERS
from console.pages import NO_ENGINE, page, require
from fonproxy.api.renderers import csv_file
from fonproxy.clickhouse.errors import EngineError
from fonproxy.formats import DEFAULT


@require_safe
def outlook(request: HttpRequest) -> HttpResponseBase:
    """Orders that run out or end soon, customers who stopped using theirs, and those who never began."""
    require(request, *CUSTOMERS_AND_ORDERS)
    if request.GET.get("format") == "csv":
        with translation.override(DEFAULT):  # a file has the same form for everybody
            return _outlook(request)
    return _outlook(request)


def _outlook(request: HttpRequest) -> HttpResponseBase:
    now = timezone.now()
    show = request.GET.get("show", "")
    view = OUTLOOKS.get(show) or OUTLOOKS["running-out"]
    days = DAYS.get(request.GET.get("days", ""), 1)
    sort = request.GET.get("sort", "")
    rows: list[Any]
    try:
        if view.is_of_orders:
            rows = view.read(timedelta(days=days), now, sort if sort in reads.SORTS else view.sort)
        else:
            rows = view.read(now)
    except EngineError:
        messages.error(request, NO_ENGINE)
        rows = []
    if request.GET.get("format") == "csv":
        return _outlook_csv(view, rows)
    context = {
        "views": [(name, each.title) for name, each in OUTLOOKS.items()],
        "show": next(name for name, each in OUTLOOKS.items() if each is view),
        "view": view,
        "days": days,
        "all_days": list(DAYS.values()),
        "sort": sort if sort in reads.SORTS else view.sort,
        "rows": rows,
        "most": reads.MAX_ROWS,
        "may_credit": request.user.has_perm("orders.change_order"),
    }
    return page(request, "outlook", _("Who runs out"), **context)


@dataclass(frozen=True, slots=True)
class Outlook:
    """A part of the page: orders within some days, or customers."""

    title: Promise
    empty: Promise
    read: Callable[..., list[Any]]
    sort: str = ""

    @property
    def is_of_orders(self) -> bool:
        return bool(self.sort)


OUTLOOKS: Final = {
    "running-out": Outlook(
        gettext_lazy("Orders that run out"),
        gettext_lazy("No order runs out by then."),
        reads.running_out,
        "eta",
    ),
    "ending": Outlook(gettext_lazy("Orders that end"), gettext_lazy("No order ends by then."), reads.ending, "ends"),
    "stopped-using": Outlook(
        gettext_lazy("Customers without traffic for a week"),
        gettext_lazy("Every customer who had traffic in the 30 days before the last week has had some since."),
        reads.stopped_using,
    ),
    "never-used": Outlook(
        gettext_lazy("New customers without traffic"),
        gettext_lazy("Every customer of the last 30 days with an active order has had traffic."),
        reads.never_used,
    ),
}
DAYS: Final = {"1": 1, "3": 3, "7": 7}


def _outlook_csv(view: Outlook, rows: list[Any]) -> HttpResponse:
    cells: list[tuple[Any, ...]]
    if view.is_of_orders:
        header = ["customer", "email", "order", "state", "percent_left", "left", "runs_out_at", "expires_at"]
        cells = [
            (
                line.order.user.username, line.order.user.email, line.order.published_id, line.state.value,
                line.percent_left, line.left, line.runs_out_at and line.runs_out_at.isoformat(),
                line.order.expires_at and line.order.expires_at.isoformat(),
            )
            for line in rows
        ]  # fmt: skip
    else:
        header = ["customer", "email", "active_orders", "last_day", "traffic"]
        cells = [
            (
                line.user.username,
                line.user.email,
                line.orders,
                line.last_day and line.last_day.isoformat(),
                line.traffic,
            )
            for line in rows
        ]
    return csv_file("outlook.csv", header, cells)


PAGES: Final = (("outlook/", "outlook", outlook),)
