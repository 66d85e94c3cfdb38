"""A view as named by a URL of *Explore*, and the parameters of the reads that show it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from django.http import QueryDict

from fonproxy.timerange import DAY, InvalidTime, midnight, parse_zone

View = Mapping[str, str]

FILTERS: Final = {"order": "orderId", "domain": "domain", "country": "country", "login": "proxyUser"}
# What draws another period, by the address of *Explore* and by the parameter of the reads.
COMPARED: Final = {"1": "previous", "year": "last_year"}
NAMES: Final = ("range", "from", "to", "tz", *FILTERS, "interval", "compare", "sort")
ROLLING: Final = ("24h", "7d", "30d", "month", "last-month")
USUAL: Final = "7d"
MAX_LENGTH: Final = 255
# The reader chooses the layout of the view.
LAYOUT: Final = ("interval", "fill", "limit", "page", "sortBy", "format")


def view_of(query: Mapping[str, str], zone: str) -> dict[str, str]:
    """The view of a URL, always with a range and a zone. Values are not validated yet."""
    view = {name: query[name][:MAX_LENGTH] for name in NAMES if query.get(name) and "\0" not in query[name]}
    view.setdefault("tz", zone)
    is_fixed = "range" not in view and "from" in view and "to" in view
    if not is_fixed:
        view = {name: value for name, value in view.items() if name not in ("from", "to")}
        view["range"] = view["range"] if view.get("range") in ROLLING else USUAL
    return view


def ends(view: View, now: datetime) -> tuple[str, str]:
    """Start and end in ISO 8601. The newest hour or day of a rolling range is included."""
    if "range" not in view:
        return view["from"], view["to"]
    start, end = _rolling(view["range"], _zone(view), now)
    return start.isoformat(timespec="seconds"), end.isoformat(timespec="seconds")


def fixed(view: View, now: datetime) -> dict[str, str]:
    """The same view with a fixed range."""
    start, end = ends(view, now)
    return {**{name: value for name, value in view.items() if name != "range"}, "from": start, "to": end}


def parameters(view: View, now: datetime) -> dict[str, str]:
    """The parameters of every read of the view."""
    start, end = ends(view, now)
    filters = {name: view[named] for named, name in FILTERS.items() if named in view}
    compared = COMPARED.get(view.get("compare", ""))
    return {"from": start, "to": end, "tz": view["tz"], **filters, **({"compare": compared} if compared else {})}


def query(view: View, asked: QueryDict, now: datetime) -> QueryDict:
    """The parameters of a read: the view's own, and from the request only those of the layout."""
    found = QueryDict(mutable=True)
    for name in LAYOUT:
        if name in asked:
            found.setlist(name, asked.getlist(name))
    found.update(parameters(view, now))
    return found


def _rolling(name: str, zone: ZoneInfo, now: datetime) -> tuple[datetime, datetime]:
    local = now.astimezone(zone)
    today = local.date()
    month = today.replace(day=1)
    end = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    match name:
        case "24h":
            hour = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
            return now - hour - timedelta(hours=23), end
        case "30d":
            return midnight(today - 29 * DAY, zone), end
        case "month":
            return midnight(month, zone), end
        case "last-month":
            return midnight(_month_before(month), zone), midnight(month, zone)
        case _:
            return midnight(today - 6 * DAY, zone), end


def _month_before(month: date) -> date:
    return (month - DAY).replace(day=1)


def _zone(view: View) -> ZoneInfo:
    try:
        return parse_zone(view["tz"])
    except InvalidTime:
        return ZoneInfo("UTC")  # the error names the parameter itself
