"""Conditions of a Byteful search as SQL over the columns of a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from fonproxy.api.search import DATE, Condition, FieldRange, FieldType, Operator
from fonproxy.clickhouse.query import Sql
from fonproxy.timerange import EPOCH

Fields = Mapping[str, tuple[FieldType, str]]
"""The type and the column (or SQL expression) of each field."""

COMPARISONS: Final = {Operator.EQUAL: "=", Operator.NOT: "!=", Operator.MIN: ">=", Operator.MAX: "<="}


def where(conditions: Sequence[Condition], fields: Fields) -> Sql:
    """The conditions joined by ``AND``; ids must be in the form that columns store."""
    text = ""
    params: dict[str, Any] = {}
    for number, condition in enumerate(conditions):
        part, values = _condition(condition, *fields[condition.field], f"p{number}")
        text += f" AND {part}"
        params |= values
    return Sql(text, params)


def _condition(condition: Condition, kind: FieldType, column: str, name: str) -> tuple[str, dict[str, Any]]:
    value, operator = condition.value, condition.operator
    if isinstance(value, FieldRange):
        return _in_span(operator, column, value, name, is_date=kind is DATE)
    if isinstance(value, tuple):
        return f"has({{{name}:Array(UInt64)}}, {column})", {name: list(value)}
    if operator is Operator.LIKE:
        return f"{column} ILIKE {{{name}:String}}", {name: _pattern(str(value))}
    type_ = "Int64" if isinstance(value, int) else "String"
    text = f"{column} {COMPARISONS[operator]} {{{name}:{type_}}}"
    # Null differs from any value.
    return f"ifNull({text}, 1)" if operator is Operator.NOT else text, {name: value}


def _in_span(
    operator: Operator, column: str, span: FieldRange, name: str, *, is_date: bool
) -> tuple[str, dict[str, Any]]:
    literal, bound = (day, _iso_day) if is_date else (instant, millis)
    since, before = f"{column} >= {literal(f'{name}a')}", f"{column} < {literal(f'{name}b')}"
    start, end = {f"{name}a": bound(span.start)}, {f"{name}b": bound(span.end)}
    match operator:
        case Operator.MIN:
            return since, start
        case Operator.MAX:
            return before, end
        case Operator.NOT:
            return f"NOT ({since} AND {before})", start | end
        case _:
            return f"{since} AND {before}", start | end


def _pattern(text: str) -> str:
    """The pattern for ILIKE: only ``%`` is a wildcard."""
    return text.replace("\\", "\\\\").replace("_", "\\_")


def instant(name: str) -> str:
    """A value bound by :func:`millis`, as SQL."""
    return f"fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')"


def millis(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)


def day(name: str) -> str:
    """A bound ``YYYY-MM-DD`` as SQL."""
    return f"toDate({{{name}:String}})"


def _iso_day(at: datetime) -> str:
    return at.date().isoformat()
