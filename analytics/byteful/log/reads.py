"""Searches of an account's request log, in the shapes of Byteful's API."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from rest_framework.exceptions import NotFound

from accounts import selectors
from analytics.byteful.log import queries
from analytics.byteful.log.queries import FIELDS, Requests
from analytics.byteful.logins import by_number
from fonproxy import ids
from fonproxy.api.search import Condition, Search
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.profiles import HEAVY
from fonproxy.clickhouse.query import Sql
from orders import selectors as order_selectors

Row = dict[str, Any]


def search(user_id: int, wanted: Search, now: datetime) -> tuple[list[Row], int]:
    """One page of the account's requests and their number, see ``Requests.count``.

    Raises NotFound for an id of another account.
    """
    since = retention.floor("requests", now)
    conditions = [_with_number(condition, user_id, now) for condition in wanted.conditions]
    requests = Requests(user_id, since, conditions)
    rows = _described(_fetch(requests.page(wanted), "log.search"))
    [(total,)] = _fetch(requests.count(wanted), "log.count")
    return rows, total


def find(user_id: int, log_id: str, now: datetime) -> Row:
    """The account's request of that id; raises NotFound."""
    rows = _described(_fetch_one(user_id, log_id, now))
    if not rows:
        raise NotFound
    return rows[0]


def _fetch_one(user_id: int, log_id: str, now: datetime) -> list[tuple[Any, ...]]:
    try:
        known = uuid.UUID(log_id)
    except ValueError:
        return []
    if known.version != 7 or str(known) != log_id.lower():
        return []
    sql = queries.by_id(user_id, str(known), known.int >> 80, retention.floor("requests", now))
    return _fetch(sql, "log.retrieve")


def _fetch(sql: Sql, tag: str) -> list[tuple[Any, ...]]:
    return get_client().fetch(sql.text, sql.params, profile=HEAVY, tag=tag)


def _with_number(condition: Condition, user_id: int, now: datetime) -> Condition:
    """The condition with the published id as a number. Raises NotFound for an id of another account."""
    if condition.field == "proxy_user_id":
        return by_number(condition, user_id)
    find_number = _OWN_IDS.get(condition.field)
    return replace(condition, value=find_number(user_id, str(condition.value), now)) if find_number else condition


def _own_log(user_id: int, text: str, now: datetime) -> str:
    if not _fetch_one(user_id, text, now):
        raise NotFound
    return text.lower()


_OWN_IDS: Final[Mapping[str, Callable[[int, str, datetime], int | str]]] = {
    "log_id": _own_log,
    "customer_id": lambda user_id, text, now: selectors.own_account(user_id, text),
    "service_id": lambda user_id, text, now: order_selectors.find_order(user_id, text).pk,
}


def _described(values: Sequence[tuple[Any, ...]]) -> list[Row]:
    rows = [dict(zip(FIELDS, row, strict=True)) for row in values]
    logins = order_selectors.logins_of(row["proxy_user_id"] for row in rows)
    for row in rows:
        row["log_id"] = str(row["log_id"])
        row["proxy_user_id"] = logins.get(row["proxy_user_id"])
        row["service_id"] = ids.encode("order", row["service_id"])
    return rows
