"""Searches of an account's daily summaries, in the shapes of Byteful's API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final

from rest_framework.exceptions import NotFound

from accounts import selectors
from analytics.byteful.logins import by_number
from analytics.byteful.summary import queries
from analytics.byteful.summary.queries import FIELDS, Summaries
from fonproxy.api.search import Condition, Operator, Search
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.query import Sql
from orders import selectors as order_selectors

Row = dict[str, Any]
FIRST_PAGE: Final = Search((), None, is_descending=True, page=1, per_page=1)


def search(user_id: int, wanted: Search, now: datetime) -> tuple[list[Row], int]:
    """One page of the account's summaries, and the number of all. Raises NotFound for an id of another account."""
    conditions = [found for given in wanted.conditions for found in _with_own_ids(given, user_id, now)]
    summaries = Summaries(user_id, _line(now), conditions)
    rows = _described(_fetch(summaries.page(wanted), "summary.search"))
    [(total,)] = _fetch(summaries.count(), "summary.count")
    return rows, total


def find(user_id: int, summary_id: str, now: datetime) -> Row:
    """The account's summary of that id; raises NotFound."""
    conditions = queries.by_id(summary_id)
    summaries = Summaries(user_id, _line(now), conditions) if conditions else None
    rows = _fetch(summaries.page(FIRST_PAGE), "summary.retrieve") if summaries else []
    if not rows:
        raise NotFound
    return _described(rows)[0]


def _line(now: datetime) -> date:
    """The first day with rows per host name."""
    return retention.floor("daily_host", now).date()


def _fetch(sql: Sql, tag: str) -> list[tuple[Any, ...]]:
    return get_client().fetch(sql.text, sql.params, tag=tag)


def _with_own_ids(condition: Condition, user_id: int, now: datetime) -> Iterator[Condition]:
    """Replaces published ids by the values of columns. Raises NotFound for an id of another account."""
    text = str(condition.value)
    match condition.field:
        case "customer_id":
            yield replace(condition, value=selectors.own_account(user_id, text))
        case "proxy_user_id":
            yield by_number(condition, user_id)
        case "log_summary_id":
            find(user_id, text, now)
            by_id = queries.by_id(text) or ()
            yield from by_id if condition.operator is Operator.EQUAL else [condition]
        case _:
            yield condition


def _described(values: Sequence[tuple[Any, ...]]) -> list[Row]:
    rows = [dict(zip(FIELDS, row, strict=True)) for row in values]
    logins = order_selectors.logins_of(row["proxy_user_id"] for row in rows)
    for row in rows:
        row["proxy_user_id"] = logins.get(row["proxy_user_id"])
        row["log_summary_period"] = f"{row['log_summary_period']} 00:00:00"
    return rows
