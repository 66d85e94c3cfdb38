"""The state of every login and its changes, for gateways that decide themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.db.models import F, QuerySet

from orders import enforcement
from orders.models import CutOff, ProxyUser, RemovedLogin


@dataclass(frozen=True, slots=True)
class LoginFeedEntry:
    """``verifier`` is None without a password; ``state`` and ``order_id`` are None for a deleted login."""

    login: str
    order_id: str | None = None
    verifier: str | None = None
    allowed_ips: tuple[str, ...] = ()
    max_connections: int | None = None
    state: CutOff.State | None = None

    @property
    def stopped(self) -> bool:
        return self.state != CutOff.State.ACTIVE

    @property
    def deleted(self) -> bool:
        return self.state is None


@dataclass(frozen=True, slots=True)
class LoginFeedPage:
    """The logins changed up to ``cursor``, each once. With ``reset`` the receiver first drops all known logins."""

    logins: list[LoginFeedEntry]
    cursor: int
    has_more: bool
    reset: bool


def changed_logins(since: int, limit: int) -> LoginFeedPage:
    """The logins changed after that number, about ``limit`` of them; 0 or an unknown number starts from the beginning.

    A login changes with its own settings, when it reaches its own limit, and with the state of its order.
    """
    last = enforcement.last_number()
    reset = since == 0 or since > last
    numbers = (1 if reset else since + 1, last)
    users = ProxyUser.objects.select_related("order__cut_off")
    by_login, of_orders, deleted = (
        users.filter(number__range=numbers).annotate(change=F("number")),
        users.filter(order__cut_off__number__range=numbers).annotate(change=F("order__cut_off__number")),
        RemovedLogin.objects.filter(number__range=numbers).annotate(change=F("number")),
    )
    parts: list[list[Any]] = []
    end = last
    for query in (by_login, of_orders, deleted):
        rows, complete_to = _first(query, limit)
        parts.append(rows)
        end = min(end, complete_to or end)
    shown = (row for row in chain.from_iterable(parts) if row.change <= end)
    return LoginFeedPage(list(_states(shown)), end, has_more=end < last, reset=reset)


def _first(query: QuerySet[Any], limit: int) -> tuple[list[Any], int | None]:
    """The first changes, about ``limit`` rows, and the number up to which they are complete, None if that is all."""
    rows = list(query.order_by("change", "pk")[: limit + 1])
    if len(rows) <= limit:
        return rows, None
    cut = rows[-1].change
    if rows[0].change == cut:  # a single order has more logins than the limit: return all of them
        return list(query.filter(change=cut)), cut
    return [row for row in rows if row.change < cut], rows[-1].change - 1


def _states(rows: Iterator[ProxyUser | RemovedLogin]) -> Iterator[LoginFeedEntry]:
    seen: set[str] = set()
    for row in rows:
        if row.login not in seen:
            seen.add(row.login)
            yield LoginFeedEntry(row.login) if isinstance(row, RemovedLogin) else _state(row)


def _state(user: ProxyUser) -> LoginFeedEntry:
    return LoginFeedEntry(
        user.login,
        user.order.published_id,
        user.verifier or None,
        tuple(user.allowed_ips),
        user.max_connections,
        enforcement.login_state(user),
    )
