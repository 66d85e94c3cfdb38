"""The texts of a firing, for e-mails and chats, in the formats of the active locale."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from django.utils.formats import date_format

from fonproxy.units import amount, localised
from usage.ids import subscription_id
from usage.models import NEEDS_LIMIT, AlertKind, Firing, LimitName, condition

MAX_LOGINS: Final = 10
"""Proxy users that a message lists; it counts the others."""


class TextRow(NamedTuple):
    name: str
    value: str


def subject(firing: Firing) -> str:
    """One line, such as "Residential 10 GB has used 80 % of 10 GB"."""
    name = firing.alert.order.name
    match AlertKind(firing.kind):
        case AlertKind.USAGE_PERCENT:
            left = f", {amount(_left(firing))} left" if _left(firing) else ""
            return f"{name} has used {_number(firing.percent)} % of {amount(firing.limit_bytes or 0)}{left}"
        case AlertKind.BYTES_LEFT:
            return f"{name} has {amount(_left(firing))} left of {amount(firing.limit_bytes or 0)}"
        case AlertKind.EXPIRES_IN:
            return f"{name} ends on {_minute(firing, firing.expires_at)}"
        case AlertKind.ERROR_RATE:
            return f"{_number(firing.error_percent)} % of the requests of {name} failed"
        case AlertKind.LOGIN_PERCENT:
            return _logins(firing)


def title(firing: Firing) -> str:
    """Like ``subject``, without the limit, which is in a row of the message."""
    name = firing.alert.order.name
    if firing.kind not in NEEDS_LIMIT:
        return subject(firing)
    if _left(firing) == 0:
        return f"{name} is used up"
    if firing.kind == AlertKind.BYTES_LEFT:
        return f"{name} has {amount(_left(firing))} left"
    return f"{name} has used {_number(firing.percent)} %"


def rows(firing: Firing) -> list[TextRow]:
    """The figures of the message."""
    as_of = TextRow("As of", _minute(firing, firing.fired_at))
    subscription = TextRow("Subscription", subscription_id(firing.alert.order_id))
    if firing.kind == AlertKind.ERROR_RATE:
        errors, requests = localised(firing.errors or 0), localised(firing.requests or 0)
        failed = f"{errors} of {requests} requests since {_minute(firing, firing.window_began_at)}"
        return [TextRow("Failed", failed), as_of, subscription]
    if firing.kind == AlertKind.LOGIN_PERCENT:
        return [*_login_rows(firing), as_of, subscription]
    if firing.kind == AlertKind.EXPIRES_IN:
        return [TextRow("Ends", _minute(firing, firing.expires_at)), as_of, subscription]
    used = TextRow("Used", f"{amount(firing.used_bytes or 0)} of {amount(firing.limit_bytes or 0)}")
    return [used, as_of, *([TextRow("Runs out", _runs_out(firing))] if _left(firing) else []), subscription]


def percent_used(firing: Firing) -> int | None:
    """The length of a bar, 0 to 100; None for a kind without a limit."""
    if firing.kind not in NEEDS_LIMIT or not firing.limit_bytes:
        return None
    return min(100 * (firing.used_bytes or 0) // firing.limit_bytes, 100)


def reason(firing: Firing) -> str:
    """Why the recipient gets this message: the condition of the alert."""
    match AlertKind(firing.kind):
        case AlertKind.USAGE_PERCENT:
            percents = sorted({*firing.also_reached, firing.threshold})
            return f"at {_listed([f'{percent} %' for percent in percents])} of the traffic limit"
        case AlertKind.BYTES_LEFT:
            return f"when {amount(firing.threshold)} or less are left"
        case AlertKind.EXPIRES_IN:
            return condition(firing.kind, firing.threshold)
        case AlertKind.ERROR_RATE:
            return f"when {firing.threshold} % of requests or more fail"
        case AlertKind.LOGIN_PERCENT:
            return f"when a proxy user has used {firing.threshold} % of one of its own limits"


def _logins(firing: Firing) -> str:
    """``carol-1 of Residential 10 GB has reached its daily limit of 1 GB``."""
    name = firing.alert.order.name
    logins = {each["login"] for each in firing.logins}
    if len(logins) > 1:
        return f"{len(logins)} proxy users of {name} have used {firing.threshold} % or more of one of their limits"
    reached, *others = firing.logins
    if others:
        return f"{reached['login']} of {name} has used {firing.threshold} % or more of {len(firing.logins)} limits"
    limit = f"its {LimitName(reached['limit']).label} of {amount(reached['limit_bytes'])}"
    if reached["used_bytes"] >= reached["limit_bytes"]:
        return f"{reached['login']} of {name} has reached {limit}"
    return f"{reached['login']} of {name} has used {_number(reached['used_percent'])} % of {limit}"


def _login_rows(firing: Firing) -> list[TextRow]:
    rows = []
    for reached in firing.logins[:MAX_LOGINS]:
        limit = f"{LimitName(reached['limit']).label} of {amount(reached['limit_bytes'])}"
        resets_at = datetime.fromisoformat(reached["resets_at"]) if reached["resets_at"] else None
        until = f", until {_minute(firing, resets_at)}" if resets_at else ""
        rows.append(TextRow(reached["login"], f"{amount(reached['used_bytes'])} of the {limit}{until}"))
    if (more := len(firing.logins) - MAX_LOGINS) > 0:
        rows.append(TextRow("More", localised(more)))
    return rows


def _number(value: float | None) -> str:
    """Without zeros at its end."""
    assert value is not None
    return localised(f"{value:g}")


def _left(firing: Firing) -> int:
    return max((firing.limit_bytes or 0) - (firing.used_bytes or 0), 0)


def _runs_out(firing: Firing) -> str:
    if firing.runs_out_at:
        return f"{_minute(firing, firing.runs_out_at)}, at the rate of the last 7 days"
    ends = firing.alert.order.expires_at
    return "not at the current rate" + (f" before it ends on {date_format(ends)}" if ends else "")


def _minute(firing: Firing, at: datetime | None) -> str:
    """A time in the customer's time zone, to the minute."""
    assert at is not None
    zone = firing.alert.order.user.zone
    return f"{date_format(at.astimezone(zone), 'DATETIME_FORMAT')} {zone.key}"


def _listed(texts: list[str]) -> str:
    """``80 %``, or ``80 % and 100 %``."""
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last
