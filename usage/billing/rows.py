"""Sums of traffic as rows for a billing system: grouped, named by external ids, and ready as meter events.

Every row is about one customer. Rows are sorted by their keys, so a page can begin after any of them. Traffic of a user
and an order that do not belong together is in no ledger: it is in separate rows, with ``attributed`` false.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any, Final, NamedTuple

from django.conf import settings

from analytics import billing
from analytics.billing import FIRST_KEY, LAST_KEY, Detail, OrderKey, Periods, UsageKey, UsageSum
from fonproxy import ids
from fonproxy.timerange import EPOCH, Range
from usage.billing.owners import Owners, SoldOrder, last_of_slice

SECOND: Final = timedelta(seconds=1)
MAX_ORDERS: Final = 5000
"""Orders per statement: with more, a month of 15-minute buckets in many countries could take too long."""

Row = dict[str, Any]


class Group(StrEnum):
    ORDER = "order"
    USER = "user"
    PRODUCT = "product"
    PROXY_USER = "proxyUser"
    WORKER = "worker"

    @property
    def detail(self) -> Detail:
        return {Group.PROXY_USER: Detail.PROXY_USER, Group.WORKER: Detail.WORKER}.get(self, Detail.NONE)

    @property
    def is_by_order(self) -> bool:
        """Whether the sums come in the order of the rows; otherwise those of a customer are merged first."""
        return self in (Group.ORDER, Group.PROXY_USER)


class RowKey(NamedTuple):
    """The sort key of a row. ``order_id`` and ``detail`` are 0 if a row covers several.

    ``detail`` is a product's number, a proxy user's number or a worker's name.
    """

    user_id: int
    order_id: int
    is_unattributed: bool
    detail: int | str
    local: int


Rows = list[tuple[RowKey, Row]]


@dataclass(frozen=True, slots=True)
class NamedUsage:
    """The values of a row: its measures, and the names of its customer and, if it has them, order and login."""

    key: RowKey
    usage: UsageSum
    user: str | None
    sold: SoldOrder | None
    login: str | None


@dataclass(frozen=True, slots=True)
class BillingRequest:
    """A query for usage rows."""

    periods: Periods
    group: Group

    def rows(self, now: datetime, after: RowKey | None = None, at_once: int = billing.PAGE) -> Iterator[Rows]:
        """The rows after a key, about ``at_once`` at a time, each with its key. Raises EngineError."""
        closed_before = billing.closed_before(now)
        for found in self._found(after, at_once):
            later = (one for one in found if after is None or one.key > after)
            if rows := [(one.key, self._row(one, closed_before, now)) for one in later]:
                yield rows

    def _found(self, after: RowKey | None, at_once: int) -> Iterator[list[NamedUsage]]:
        """The rows, sorted. Holds only the sums of one statement, and the rows of one customer if they need more."""
        pending: dict[RowKey, NamedUsage] = {}
        for sums in self._sums(after, at_once):
            self._add(sums, pending)
            user_id = sums[-1].key.user_id
            done = sorted(key for key in pending if self.group.is_by_order or key.user_id < user_id)
            yield [pending.pop(key) for key in done]
        yield [pending[key] for key in sorted(pending)]

    def _sums(self, after: RowKey | None, at_once: int) -> Iterator[list[UsageSum]]:
        """The sums, by slices of orders: without bounds the engine would sum up everything to return one page.

        The size of a slice without usage doubles, so that idle orders cost few statements.
        """
        if self.periods.range.is_empty:
            return
        first = FIRST_KEY if after is None else OrderKey(after.user_id, after.order_id)
        smallest = size = min(MAX_ORDERS, max(1, at_once // len(self.periods.by_local)))
        while True:
            last = last_of_slice(first, size)
            size = min(2 * size, MAX_ORDERS)
            for sums in billing.sums(self.periods, self.group.detail, first, last or LAST_KEY, at_once):
                size = smallest
                yield sums
            if last is None:
                return
            first = OrderKey(last.user_id, last.order_id + 1)

    def _add(self, sums: list[UsageSum], pending: dict[RowKey, NamedUsage]) -> None:
        by_login = self.group is Group.PROXY_USER
        owners = Owners.of(
            {OrderKey(one.key.user_id, one.key.order_id) for one in sums},
            {int(one.key.detail) for one in sums} if by_login else set(),
        )
        for one in sums:
            sold = owners.orders.get(OrderKey(one.key.user_id, one.key.order_id))
            key = self._key_of(one.key, sold)
            usage = _added(pending[key].usage, one) if key in pending else one
            login = owners.logins.get(int(one.key.detail)) if by_login else None
            pending[key] = NamedUsage(key, usage, owners.users.get(one.key.user_id), sold, login)

    def _key_of(self, key: UsageKey, sold: SoldOrder | None) -> RowKey:
        detail: int | str = 0
        if self.group is Group.PRODUCT:
            detail = sold.product_id if sold else 0
        elif self.group in (Group.PROXY_USER, Group.WORKER):
            detail = key.detail
        return RowKey(key.user_id, key.order_id if self.group.is_by_order else 0, sold is None, detail, key.local)

    def _row(self, found: NamedUsage, closed_before: datetime, now: datetime) -> Row:
        key, usage = found.key, found.usage
        period = self.periods.by_local[key.local]
        by_order = self.group.is_by_order
        sold = found.sold if by_order or self.group is Group.PRODUCT else None
        proxy_user = int(key.detail) if self.group is Group.PROXY_USER else 0
        return {
            "identifier": self._identifier(key, usage, period),
            "timestamp": int((period.end - SECOND if period.end <= now else min(usage.last, now)).timestamp()),
            "value": str(usage.bytes_sent + usage.bytes_received),
            "user": found.user,
            "userId": key.user_id,
            "order": sold.external_id if sold and by_order else None,
            "orderId": key.order_id if by_order else None,
            "product": sold.product if sold else None,
            "proxyType": sold.proxy_type if sold else None,
            "proxyUser": found.login,
            "proxyUserId": ids.encode("proxy_user", proxy_user) if proxy_user else None,
            "worker": key.detail if self.group is Group.WORKER else None,
            "day": self._day(key),
            "from": _stamp(period.start),
            "to": _stamp(period.end),
            "bytesSent": usage.bytes_sent,
            "bytesReceived": usage.bytes_received,
            "requests": usage.requests,
            "errors": usage.errors,
            "firstUsedAt": _stamp(usage.first),
            "lastUsedAt": _stamp(usage.last),
            "attributed": not key.is_unattributed,
            "closed": period.end <= closed_before,
            "revision": usage.late_rows,
        }

    def _day(self, key: RowKey) -> str | None:
        return None if self.periods.grid is None else (EPOCH + timedelta(seconds=key.local)).date().isoformat()

    def _identifier(self, key: RowKey, usage: UsageSum, period: Range) -> str:
        """The same for the same row and revision; different for any other row, also of another installation."""
        about = (self.group.value, *key, period.start.isoformat(), period.end.isoformat(), usage.late_rows)
        return str(uuid.uuid5(_installation(settings.ID_SALT), repr(about)))


@cache
def _installation(salt: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, salt)


def _added(first: UsageSum, second: UsageSum) -> UsageSum:
    return UsageSum(
        first.key,
        first.bytes_sent + second.bytes_sent,
        first.bytes_received + second.bytes_received,
        first.requests + second.requests,
        first.errors + second.errors,
        min(first.first, second.first),
        max(first.last, second.last),
        first.late_rows + second.late_rows,
    )


def _stamp(at: datetime) -> str:
    """ISO 8601 in UTC, to the second."""
    return at.isoformat().replace("+00:00", "Z")
