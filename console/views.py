"""The console's pages that are not a model's list or form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from console import address_use, onboarding, origins
from console import gateways as gateway_reads
from console import outlook as outlook_reads
from console import search as customer_search
from console.navigation import CUSTOMERS_AND_ORDERS
from console.pages import NO_ENGINE, page, require
from fonproxy.api.renderers import csv_file
from fonproxy.clickhouse.errors import EngineError

ADDRESS_PERMISSIONS: Final = ("geo.view_staticip", *CUSTOMERS_AND_ORDERS)


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Customers and what is theirs. An exact match opens at once, unless it is an address, which may mean its users."""
    if not customer_search.may_search(request.user):
        raise PermissionDenied
    term = request.GET.get("q", "")
    hits = customer_search.find(term, request.user)
    address = customer_search.ip_address(term)
    may_see_use = request.user.has_perms(ADDRESS_PERMISSIONS)
    may_look_up = request.user.has_perm("analytics.add_abusereport")
    is_about_use = bool(address) and (may_see_use or may_look_up)
    if not is_about_use and (match := _only_match(hits)):
        return HttpResponseRedirect(match.url)
    if not hits and may_see_use and _is_range(term):
        return HttpResponseRedirect(f"{reverse('admin:console_addresses')}?{urlencode({'range': term})}")
    return page(
        request,
        "search",
        _("Search"),
        term=term,
        hits=hits,
        address=address,
        may_see_use=may_see_use,
        may_look_up=may_look_up,
    )


def _only_match(hits: list[customer_search.Hit]) -> customer_search.Hit | None:
    """The single hit, or the first exact one if all exact ones are of the same customer."""
    exact = [hit for hit in hits if hit.is_exact]
    if len(hits) == 1 or len({hit.customer for hit in exact}) == 1:
        return (exact or hits)[0]
    return None


def _is_range(term: str) -> bool:
    try:
        found = address_use.parse(term)
    except address_use.InvalidRange:
        return False
    return found.first != found.last


@require_safe
def gateways(request: HttpRequest) -> HttpResponse:
    require(request, "analytics.view_ingestbatch")
    try:
        found = gateway_reads.latest(timezone.now())
    except EngineError:
        messages.error(request, NO_ENGINE)
        found = []
    return page(request, "gateways", _("Gateways"), gateways=found)


class AddressForm(forms.Form):
    range = forms.CharField(
        label=gettext_lazy("Addresses"),
        max_length=100,
        help_text=gettext_lazy("A network such as 192.0.2.0/24, or the first and the last address with a dash."),
    )
    days = forms.TypedChoiceField(
        label=gettext_lazy("Days"), choices=[(n, n) for n in (1, 7, 31, 90)], coerce=int, initial=7
    )

    def clean_range(self) -> address_use.AddressRange:
        try:
            return address_use.parse(self.cleaned_data["range"])
        except address_use.InvalidRange as fault:
            raise forms.ValidationError(str(fault)) from None


@require_safe
def addresses(request: HttpRequest) -> HttpResponse:
    """The static IPs of a range, and who used its addresses."""
    require(request, *ADDRESS_PERMISSIONS)
    now = timezone.now()
    form = AddressForm({"days": 7, **request.GET.dict()} if request.GET else None)
    rows: list[address_use.RangeAddress] | None = None
    if form.is_valid():
        try:
            rows = address_use.used(form.cleaned_data["range"], now - timedelta(days=form.cleaned_data["days"]), now)
        except EngineError:
            messages.error(request, NO_ENGINE)
    return page(request, "addresses", _("Who uses addresses"), form=form, rows=rows)


@require_safe
def outlook(request: HttpRequest) -> HttpResponseBase:
    """Orders that run out or end soon, customers who stopped using theirs, and those who never began."""
    require(request, *CUSTOMERS_AND_ORDERS)
    now = timezone.now()
    show = request.GET.get("show", "")
    view = OUTLOOKS.get(show) or OUTLOOKS["running-out"]
    days = DAYS.get(request.GET.get("days", ""), 1)
    sort = request.GET.get("sort", "")
    rows: list[Any]
    try:
        if view.is_of_orders:
            rows = view.read(timedelta(days=days), now, sort if sort in outlook_reads.SORTS else view.sort)
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
        "sort": sort if sort in outlook_reads.SORTS else view.sort,
        "rows": rows,
        "most": outlook_reads.MAX_ROWS,
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
        outlook_reads.running_out,
        "eta",
    ),
    "ending": Outlook(
        gettext_lazy("Orders that end"), gettext_lazy("No order ends by then."), outlook_reads.ending, "ends"
    ),
    "stopped-using": Outlook(
        gettext_lazy("Customers who stopped using"),
        gettext_lazy("Every customer who had traffic in the 30 days before the last week has had some since."),
        outlook_reads.stopped_using,
    ),
    "never-used": Outlook(
        gettext_lazy("New customers without traffic"),
        gettext_lazy("Every customer of the last 30 days with an active order has had traffic."),
        outlook_reads.never_used,
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


PAGES: Final = (
    ("outlook/", "outlook", outlook),
    ("search/", "search", search),
    ("gateways/", "gateways", gateways),
    ("addresses/", "addresses", addresses),
    ("origins/", "origins", origins.origins),
    ("new-customer/", "new_customer", onboarding.new_customer),
)
