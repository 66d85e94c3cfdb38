"""An order's ledger line by line, for its customer. It shows only what the ledger's API publishes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import Promise, cached_property
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound

from dashboard.pages import OrdersPage
from fonproxy import ids
from fonproxy.api.renderers import csv_file
from fonproxy.timerange import DAY, STAMP
from fonproxy.units import GIB
from orders import ledger, selectors
from orders.models import LedgerEntry, LedgerReason, Network, Order

PER_PAGE: Final = 50
CSV_COLUMNS: Final = ("day", "reason", "adjustment", "requests", "bytes", "balance_bytes", "posted", "last_change")
# The networks whose ledgers have an API.
PUBLISHED: Final = (Network.RESIDENTIAL, Network.MOBILE)

WORDS: Final = {
    LedgerReason.USAGE: _("Usage"),
    LedgerReason.TOP_UP: _("Top-up"),
    LedgerReason.SERVICE_PURCHASE: _("Purchase"),
    LedgerReason.REFUND: _("Refund"),
    LedgerReason.ADJUSTMENT: _("Adjustment"),
}


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """A line as displayed; amounts are in GB, ``balance`` is the balance after it."""

    entry: LedgerEntry

    @property
    def words(self) -> Promise:
        if self.entry.reason == LedgerReason.SERVICE_PURCHASE and (self.entry.period_number or 1) > 1:
            return _("Renewal")
        return WORDS[LedgerReason(self.entry.reason)]

    @property
    def view(self) -> str:
        """The day's traffic as the query of *Explore*; empty for an entry that is no usage."""
        if self.entry.reason != LedgerReason.USAGE:
            return ""
        day = self.entry.period_date
        ends = {"from": f"{day}T00:00:00Z", "to": f"{day + DAY}T00:00:00Z", "tz": "UTC"}
        return urlencode({"order": ids.encode("order", self.entry.order_id), **ends})

    @property
    def change(self) -> float:
        return self.entry.bytes / GIB

    @property
    def balance(self) -> float:
        return balance_of(self.entry) / GIB


def balance_of(line: LedgerEntry) -> int:
    """The balance of a line, in bytes."""
    balance: int = line.balance  # type: ignore[attr-defined]  # the statement's annotation
    return balance


class DaysForm(forms.Form):
    """The days to show, both inclusive."""

    first = forms.DateField(label=_("From"), required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))
    last = forms.DateField(label=_("Until"), required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given.get("first") and given.get("last") and given["last"] < given["first"]:
            self.add_error("last", _("The end must not be before the start."))
        return given


class LedgerPage(OrdersPage):
    template_name = "dashboard/ledger.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.GET.get("format") == "csv" and self.order:
            return self._csv(self.order)
        return super().get(request, *args, **kwargs)

    @cached_property
    def order(self) -> Order | None:
        """The requested order, else the newest one; None for a customer without orders."""
        wanted = self.request.GET.get("order")
        if not wanted:
            return selectors.orders_of(self.customer.pk).first()
        try:
            return selectors.find_order(self.customer.pk, wanted)
        except NotFound:
            raise Http404 from None

    @cached_property
    def form(self) -> DaysForm:
        form = DaysForm(self.request.GET, label_suffix="")
        form.is_valid()
        return form

    @property
    def days(self) -> tuple[date | None, date | None]:
        """The requested valid days; None where there is none."""
        given = self.form.cleaned_data
        return given.get("first"), given.get("last")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(order=self.order, form=self.form, **kwargs)
        return context | (self._statement(self.order) if self.order else {})

    def _statement(self, order: Order) -> dict[str, Any]:
        lines = ledger.statement(order, *self.days)
        page = Paginator(lines, PER_PAGE).get_page(self.request.GET.get("page"))
        return {
            "page": page,
            "lines": [LedgerLine(entry) for entry in page],
            "left": None if order.limit_bytes is None else ledger.balance(order) / GIB,
            "api": api_call(order, *self.days, page.number),
            **_sums(lines),
        }

    def _csv(self, order: Order) -> HttpResponse:
        parts = ["ledger", order.published_id, *(f"{day}" for day in self.days if day)]
        return csv_file(f"{'_'.join(parts)}.csv", CSV_COLUMNS, _csv_rows(order, ledger.statement(order, *self.days)))


def _sums(lines: QuerySet[LedgerEntry]) -> dict[str, float]:
    """Credits and usage of the lines, in GB."""
    is_usage = Q(reason=LedgerReason.USAGE)
    sums = lines.order_by().aggregate(
        added=Sum("bytes", filter=~is_usage, default=0), carried=Sum("bytes", filter=is_usage, default=0)
    )
    return {"added": sums["added"] / GIB, "used": -sums["carried"] / GIB}


def api_call(order: Order, first: date | None, last: date | None, page: int) -> str | None:
    """The API call that returns these lines; None for a network whose ledger has no API."""
    network = order.product.network
    if network not in PUBLISHED:
        return None
    field = f"{network}_ledger_period_date"
    asked = {"service_id": order.published_id, f"min_{field}": first, f"max_{field}": last, "page": page}
    given = {name: value for name, value in asked.items() if value is not None}
    return f"/{network}_ledger/search?{urlencode(given | {'per_page': PER_PAGE})}"


def _csv_rows(order: Order, lines: QuerySet[LedgerEntry]) -> Iterator[tuple[Any, ...]]:
    for line in lines.iterator():
        yield (
            line.period_date.isoformat(),
            line.reason,
            line.adjustment_number,
            line.requests,
            line.bytes,
            None if order.limit_bytes is None else balance_of(line),
            line.created_at.strftime(STAMP),
            line.updated_at.strftime(STAMP),
        )
