"""The page of all customers' usage by proxy type, product, gateway, country or customer, and its CSVs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from accounts.models import User
from console import usage_report as reads
from console.navigation import CUSTOMERS_AND_ORDERS
from console.pages import NO_ENGINE, page, require
from console.usage_report import GroupUsage, UsageFilters, UsageGroup, UsageRequest, UsageSort, UsageSums
from console.usage_spans import MAX_DAYS, SpanPreset, days_of, span_of
from fonproxy import countries
from fonproxy.api.renderers import csv_file
from fonproxy.clickhouse.errors import EngineError, QueryTooHeavy
from fonproxy.timerange import DAY, FIRST_YEAR, LAST_YEAR, zone_choices
from fonproxy.units import amount, localised
from orders.models import Product, ProxyType

GROUPS: Final = {
    UsageGroup.PROXY_TYPE: gettext_lazy("Proxy type"),
    UsageGroup.PRODUCT: gettext_lazy("Product"),
    UsageGroup.GATEWAY: gettext_lazy("Gateway"),
    UsageGroup.COUNTRY: gettext_lazy("Country"),
    UsageGroup.CUSTOMER: gettext_lazy("Customer"),
}
RANGES: Final = {
    SpanPreset.TODAY: gettext_lazy("Today"),
    SpanPreset.YESTERDAY: gettext_lazy("Yesterday"),
    SpanPreset.WEEK: gettext_lazy("7 days"),
    SpanPreset.DAYS_30: gettext_lazy("30 days"),
    SpanPreset.MONTH: gettext_lazy("This month"),
    SpanPreset.LAST_MONTH: gettext_lazy("Last month"),
    SpanPreset.CUSTOM: gettext_lazy("From … to …"),
}
GROUP_COLUMNS: Final = (
    "key", "name", "bytes_sent", "bytes_received", "bytes", "requests", "errors", "bytes_before", "requests_before",
    "errors_before",
)  # fmt: skip
MINUS: Final = "\N{MINUS SIGN}"
POINT_COLUMNS: Final = ("time", "key", "name", "bytes", "requests", "errors")


class UsageForm(forms.Form):
    """The visible fields, and the filters, which come from links."""

    group = forms.ChoiceField(label=gettext_lazy("By"), choices=[*GROUPS.items()], initial=UsageGroup.PRODUCT)
    range = forms.ChoiceField(label=gettext_lazy("Time"), choices=[*RANGES.items()], initial=SpanPreset.WEEK)
    first = forms.DateField(
        label=gettext_lazy("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    last = forms.DateField(
        label=gettext_lazy("To (inclusive)"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    tz = forms.ChoiceField(label=gettext_lazy("Time zone"), choices=zone_choices, initial="UTC")
    sort = forms.ChoiceField(choices=[(sort, sort) for sort in UsageSort], initial=UsageSort.TRAFFIC)
    customer = forms.IntegerField(label=GROUPS[UsageGroup.CUSTOMER], required=False, min_value=0, max_value=2**63 - 1)
    product = forms.IntegerField(label=GROUPS[UsageGroup.PRODUCT], required=False, min_value=0, max_value=2**63 - 1)
    type = forms.ChoiceField(
        label=GROUPS[UsageGroup.PROXY_TYPE], required=False, choices=[("", ""), *ProxyType.choices]
    )
    gateway = forms.CharField(label=GROUPS[UsageGroup.GATEWAY], required=False, max_length=255, strip=False)
    country = forms.CharField(label=GROUPS[UsageGroup.COUNTRY], required=False, max_length=2)

    shown = ("group", "range", "first", "last", "tz")
    filters = ("customer", "product", "type", "gateway", "country")

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if self.errors:
            return given
        now = timezone.now()
        zone = ZoneInfo(given["tz"])
        preset = SpanPreset(given["range"])
        today = now.astimezone(zone).date()
        first, last = self._days(given) if preset is SpanPreset.CUSTOM else days_of(preset, today)
        if self.errors:
            return given
        if first > today:
            self.add_error("first", _("Is in the future."))
            return given
        span = span_of(first, last, now, zone, by_month=preset in (SpanPreset.MONTH, SpanPreset.LAST_MONTH))
        chosen = UsageFilters(
            given["customer"],
            given["product"],
            given["type"] or None,
            given["gateway"] or None,
            given["country"] or None,
        )
        asked = UsageRequest(span, UsageGroup(given["group"]), chosen, UsageSort(given["sort"]))
        if not asked.is_possible:
            self.add_error("group", _("Gateways are not kept by country. Remove one of the two."))
        return given | {"asked": asked}

    def _days(self, given: dict[str, Any]) -> tuple[date, date]:
        first: date | None = given["first"]
        last: date | None = given["last"]
        for name, day in (("first", first), ("last", last)):
            if day is None:
                self.add_error(name, _("Choose a day."))
            elif not FIRST_YEAR < day.year < LAST_YEAR:
                self.add_error(name, _("Must be after the year %(first)s and before %(last)s.") % {
                    "first": FIRST_YEAR, "last": LAST_YEAR})  # fmt: skip
        if first is None or last is None or self.errors:
            return date.min, date.min
        if last < first:
            self.add_error("last", _("Is before the first day."))
        elif last - first >= MAX_DAYS * DAY:
            self.add_error("last", _("At most %(days)s days can be chosen.") % {"days": MAX_DAYS})
        return first, last


@require_safe
def usage(request: HttpRequest) -> HttpResponseBase:
    """All customers' usage in a range, compared with the previous period."""
    require(request, *CUSTOMERS_AND_ORDERS)
    initial = {name: field.initial for name, field in UsageForm.base_fields.items()}
    given = {name: value for name, value in request.GET.items() if value or name not in initial}
    form = UsageForm({**initial, "tz": getattr(request.user, "time_zone", "") or "UTC", **given})
    if not form.is_valid():
        return _page(request, form, {})
    asked: UsageRequest = form.cleaned_data["asked"]
    try:
        match request.GET.get("format"):
            case "csv":
                return csv_file("usage.csv", GROUP_COLUMNS, _group_rows(asked))
            case "csv-over-time":
                return csv_file("usage-over-time.csv", POINT_COLUMNS, _point_rows(asked))
            case _:
                return _page(request, form, _context(request, form, asked))
    except QueryTooHeavy:
        messages.error(request, _("The query takes too long or too much memory: choose fewer days or a filter."))
    except EngineError:
        messages.error(request, NO_ENGINE)
    return _page(request, form, {})


def _page(request: HttpRequest, form: UsageForm, context: dict[str, Any]) -> HttpResponse:
    return page(
        request,
        "usage",
        _("Usage"),
        form=form,
        fields=[form[name] for name in form.shown],
        refused=[field for field in form if field.name not in form.shown and field.errors],
        query=_query(request),
        kept=[(name, request.GET[name]) for name in form.filters if request.GET.get(name) and name not in form.errors],
        chips=_chips(request, form),
        **context,
    )


def _context(request: HttpRequest, form: UsageForm, asked: UsageRequest) -> dict[str, Any]:
    found = reads.report(asked)
    rest = _rest(found)
    return {
        "report": found,
        "rows": [_row(request, asked, group, found.total) for group in found.groups],
        "rest": rest and _row(request, asked, rest, found.total),
        "tiles": _tiles(found),
        "chart": _chart(asked, found),
        "span": asked.span,
        "label": GROUPS[asked.group],
        "sort": asked.sort.value,
        "sorts": {sort.value: _query(request, sort=sort.value) for sort in UsageSort},
        "most": reads.MAX_GROUPS,
    }


def _rest(found: reads.UsageReport) -> GroupUsage | None:
    """The totals of the unlisted groups, if there are more groups than fit."""
    if len(found.groups) < reads.MAX_GROUPS:
        return None
    now, before = (
        UsageSums(*(whole - sum(part) for whole, part in zip(total, zip(*parts, strict=True), strict=True)))
        for total, parts in (
            (found.total, [group.now for group in found.groups]),
            (found.before, [group.before for group in found.groups]),
        )
    )
    return GroupUsage("", str(_("All others")), 0, 0, now, before)


def _row(request: HttpRequest, asked: UsageRequest, group: GroupUsage, total: UsageSums) -> dict[str, Any]:
    return {
        "name": group.name or (_("unknown (%(key)s)") % {"key": group.key} if group.key else _("unknown")),
        "url": _narrowed(request, asked, group) if group.key else "",
        "customer": reverse("admin:console_customer", args=[group.key])
        if asked.group is UsageGroup.CUSTOMER and group.key and group.name
        else "",
        "traffic": amount(group.now.bytes),
        "share": _percent(group.now.bytes, total.bytes),
        "before": amount(group.before.bytes),
        "change": _change(group.now.bytes, group.before.bytes),
        "requests": localised(group.now.requests),
        "errors": localised(group.now.errors),
        "error_share": _percent(group.now.errors, group.now.requests),
    }


def _narrowed(request: HttpRequest, asked: UsageRequest, group: GroupUsage) -> str:
    """The page narrowed to this group: its customers, or a customer's products."""
    follow = UsageGroup.PRODUCT if asked.group is UsageGroup.CUSTOMER else UsageGroup.CUSTOMER
    return _query(request, **{asked.group.value: group.key, "group": follow.value})


def _tiles(found: reads.UsageReport) -> list[tuple[str, str, str]]:
    total, before = found.total, found.before
    return [
        (_("Traffic"), amount(total.bytes), _change(total.bytes, before.bytes)),
        (_("Requests"), localised(total.requests), _change(total.requests, before.requests)),
        (_("Errors"), localised(total.errors), _change(total.errors, before.errors)),
        (
            _("Failed requests"),
            _percent(total.errors, total.requests),
            _("before: %(share)s") % {"share": _percent(before.errors, before.requests)},
        ),
    ]


def _chart(asked: UsageRequest, found: reads.UsageReport) -> dict[str, Any]:
    points = found.points
    lines = [{"label": str(_("All")), "values": [point.of_all for point in points], "filled": True}]
    lines += [
        {"label": group.name or group.key, "values": [point.by_key.get(group.key, 0) for point in points]}
        for group in found.charted
        if len(found.groups) > 1
    ]
    if any(point.before for point in points):  # a line at zero would say that there was a period to compare with
        lines.append({"label": str(_("All before")), "values": [point.before for point in points], "dashed": True})
    return {
        "tz": asked.span.zone.key,
        "title": str(_("Traffic")),
        "times": [int(point.at.timestamp()) for point in points],
        "lines": lines,
    }


def _chips(request: HttpRequest, form: UsageForm) -> list[tuple[str, str, str]]:
    """Each filter: its name, its display value, and the page without it."""
    given = {name: form.cleaned_data.get(name) for name in form.filters if request.GET.get(name)}
    named: dict[str, Any] = {
        "customer": lambda pk: User.objects.filter(pk=pk).values_list("username", flat=True).first(),
        "product": lambda pk: Product.objects.filter(pk=pk).values_list("name", flat=True).first(),
        "country": countries.name_of,
    }
    return [
        (str(GROUPS[UsageGroup(name)]), str(named.get(name, str)(value) or value), _query(request, **{name: ""}))
        for name, value in given.items()
        if value is not None
    ]


def _query(request: HttpRequest, **changes: str) -> str:
    """This page's query with changes; empty values are left out."""
    known = {name: value for name, value in request.GET.items() if name in UsageForm.base_fields}
    return "?" + urlencode({name: value for name, value in (known | changes).items() if value})


def _change(now: int, before: int) -> str:
    """The difference in percent with its sign."""
    if not before:
        return _("none before") if now else ""
    percent = 100 * (now - before) / before
    if abs(percent) < 0.05:
        return _("no change")
    number = localised(f"{abs(percent):.{0 if abs(percent) >= 100 else 1}f}")
    return f"{MINUS if percent < 0 else '+'}{number} %"


def _percent(part: int, whole: int) -> str:
    return f"{localised(f'{100 * part / whole:.1f}')} %" if whole else "-"


def _group_rows(asked: UsageRequest) -> Iterator[tuple[Any, ...]]:
    return (
        (group.key, group.name, group.bytes_sent, group.bytes_received, *group.now, *group.before)
        for group in reads.groups_of(asked, reads.MAX_EXPORTED)
    )


def _point_rows(asked: UsageRequest) -> Iterator[tuple[Any, ...]]:
    return ((label, key, name, *sums) for label, key, name, sums in reads.points_of(asked))


PAGES: Final = (("usage-report/", "usage", usage),)
