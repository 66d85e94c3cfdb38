"""The page with the evidence for a usage line of the ledger, and its CSV."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from django.contrib import admin, messages
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from console import evidence as reads
from console.pages import NO_ENGINE, page, require
from fonproxy.api.renderers import csv_file
from fonproxy.clickhouse.errors import EngineError
from fonproxy.numbers import WHOLE_NUMBER
from fonproxy.timerange import DAY, FIRST_YEAR, LAST_YEAR
from fonproxy.units import amount
from orders.models import Order


@require_safe
def evidence(request: HttpRequest, number: int, day: str) -> HttpResponseBase:
    """The traffic behind an order's usage of one day in UTC; with ``format=csv`` all of it in one file."""
    require(request, "accounts.view_user", "orders.view_ledgerentry")
    order = get_object_or_404(Order.objects.select_related("user", "product"), pk=number)
    asked = reads.Day(order, _date(day), _int_param(request, "hour", 23))
    login_id = _int_param(request, "login", 2**63 - 1)
    if request.GET.get("format") == "csv":
        return _csv(request, asked)
    now = timezone.now()
    context: dict[str, Any] = {}
    try:
        total = reads.measured(asked)
        context = {
            "measured": amount(total.bytes),
            "measured_bytes": total.bytes,
            "requests": total.requests,
            "hours": reads.hours(asked),
            "logins": reads.logins(asked, now),
            "domains": reads.domains(asked, login_id, now),
            "logged": reads.requests(asked, login_id, now),
        }
    except EngineError:
        messages.error(request, NO_ENGINE)
    line = reads.entry(asked)
    may_see_batches = request.user.has_perm("analytics.view_ingestbatch")
    return page(
        request,
        "evidence",
        _("%(order)s on %(day)s") % {"order": order.name, "day": date_format(asked.day)},
        order=order,
        asked=asked,
        login_id=login_id,
        line=line,
        recorded=amount(-line.bytes) if line else amount(0),
        recorded_bytes=-line.bytes if line else 0,
        previous=asked.day - DAY,
        following=asked.day + DAY,
        mismatches=reads.mismatches(asked),
        may_see_batches=may_see_batches,
        batches=reads.batches(asked) if may_see_batches and request.GET.get("batches") == "1" else None,
        is_kept=reads.is_kept(asked.day, now),
        may_refund=request.user.has_perm("orders.change_order") and order.limit_bytes is not None,
        most=reads.MAX_LINES,
        **context,
    )


def _date(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise Http404 from None
    if not FIRST_YEAR < day.year < LAST_YEAR:
        raise Http404
    return day


def _int_param(request: HttpRequest, name: str, most: int) -> int | None:
    text = request.GET.get(name, "")
    return int(text) if WHOLE_NUMBER.fullmatch(text) and int(text) <= most else None


def _csv(request: HttpRequest, asked: reads.Day) -> HttpResponseBase:
    try:
        rows = reads.csv_rows(asked, timezone.now())
    except EngineError:
        messages.error(request, NO_ENGINE)
        return page(request, "unavailable", _("Evidence"))
    written = f"{asked.day:%Y-%m-%d}"
    admin.site.get_model_admin(Order).log_change(request, asked.order, f"Exported the evidence of {written}.")
    return csv_file(f"evidence-{asked.order.published_id}-{written}.csv", reads.COLUMNS, rows)


PAGES: Final = (("evidence/<int:number>/<str:day>/", "evidence", evidence),)
