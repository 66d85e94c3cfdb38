"""The console's page about where traffic runs, and logins with many client addresses."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from analytics.origins import queries
from analytics.origins.queries import OriginGroup
from analytics.origins.views import PERMISSIONS
from console.pages import NO_ENGINE, page, require
from fonproxy.clickhouse.errors import EngineError
from fonproxy.timerange import UTC_ZONE, Range
from fonproxy.timerange import days as days_between
from fonproxy.units import gigabytes, localised

LIMIT: Final = 100


GROUPS: Final = {
    OriginGroup.WORKER: gettext_lazy("Worker"),
    OriginGroup.PEER: gettext_lazy("Peer"),
    OriginGroup.EXIT_RANGE: gettext_lazy("Exit address range"),
    OriginGroup.PRODUCT: gettext_lazy("Product"),
    OriginGroup.CUSTOMER: gettext_lazy("Customer"),
}


class OriginForm(forms.Form):
    group = forms.ChoiceField(label=gettext_lazy("By"), choices=[*GROUPS.items()], initial=OriginGroup.WORKER)
    days = forms.TypedChoiceField(
        label=gettext_lazy("Days"), choices=[(n, n) for n in (1, 7, 31)], coerce=int, initial=1
    )
    by_day = forms.BooleanField(label=gettext_lazy("Day by day"), required=False)
    above = forms.IntegerField(
        label=gettext_lazy("Logins with more client addresses per day than"), min_value=0, max_value=10**9, initial=10
    )


class OriginRow(NamedTuple):
    name: str
    day: str
    traffic: str
    requests: str
    errors: str


@require_safe
def origins(request: HttpRequest) -> HttpResponse:
    require(request, *PERMISSIONS)
    initial = {name: field.initial for name, field in OriginForm.base_fields.items()}
    form = OriginForm({**initial, **request.GET.dict()})
    context: dict[str, Any] = {"rows": [], "logins": []}
    if form.is_valid():
        try:
            context = _found(form.cleaned_data, timezone.now())
        except EngineError:
            messages.error(request, NO_ENGINE)
    return page(request, "origins", _("Where traffic runs"), form=form, **context)


def _found(given: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Raises EngineError."""
    today = now.date()
    range_: Range = days_between(today - timedelta(days=given["days"] - 1), today, UTC_ZONE)
    group = OriginGroup(given["group"])
    found = queries.origins(group, range_, LIMIT, now, by_day=given["by_day"])
    return {
        "rows": [
            OriginRow(
                row.name or row.key or _("unknown"),
                date_format(row.day) if row.day else "",
                gigabytes(row.bytes_sent + row.bytes_received),
                localised(row.requests),
                localised(row.errors),
            )
            for row in found
        ],
        "by_day": given["by_day"],
        "group": GROUPS[group],
        "logins": queries.login_clients(range_, given["above"], LIMIT, now),
    }
