"""Queries of hot paths, compiled once, because the ORM takes longer to compile them than the database to answer.

The rows are read again each time; only the SQL text and the way to read its columns are cached.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import connection
from django.db.models import Model, QuerySet
from django.db.models.query import ModelIterable, get_related_populators

T = TypeVar("T")


class _Compiled(NamedTuple):
    sql: str
    converters: list[tuple[int, list[Any], Any]]
    make: Callable[[list[Any]], Any]


class Prepared(Generic[T]):
    """A query whose only parameters are a list of strings or integers, in the order in which SQL binds them.

    ``query_of`` creates it from such a list: a query of models, optionally with ``select_related``, or of
    ``values_list`` with annotations last.
    """

    def __init__(self, query_of: Callable[[Sequence[Any]], QuerySet[Any, T]], kind: type[str] | type[int]) -> None:
        self._query_of = query_of
        self._kind = kind
        self._compiled: dict[tuple[str, int], _Compiled] = {}

    def rows(self, values: Sequence[Any]) -> list[T]:
        """The rows for these values; the last value is repeated up to the next power of two."""
        if not values:
            return []
        size = 1 << (len(values) - 1).bit_length()
        place = connection.vendor, size
        compiled = self._compiled.get(place) or self._compiled.setdefault(place, self._compile(size))
        with connection.cursor() as cursor:
            cursor.execute(compiled.sql, [*values, *[values[-1]] * (size - len(values))])
            found = cursor.fetchall()
        return [compiled.make(_converted(row, compiled.converters)) for row in found]

    def _compile(self, size: int) -> _Compiled:
        samples = [self._kind(number) for number in range(1, size + 1)]
        query = self._query_of(samples)
        compiler = query.query.get_compiler(connection=connection)
        sql, bound = compiler.as_sql()
        if list(bound) != samples:
            raise ValueError(f"The query binds {bound!r}, not just the values that it is for.")
        expressions = [selected[0] for selected in compiler.select]
        converters = [
            (place, functions, expression)
            for place, (functions, expression) in compiler.get_converters(expressions).items()
        ]
        of_models = issubclass(query._iterable_class, ModelIterable)
        return _Compiled(sql, converters, _maker(compiler) if of_models else tuple)


def _maker(compiler: Any) -> Callable[[list[Any]], Model]:
    """Makes instances as ``ModelIterable`` does."""
    info, database = compiler.klass_info, connection.alias
    first, last = info["select_fields"][0], info["select_fields"][-1] + 1
    names = [selected[0].target.attname for selected in compiler.select[first:last]]
    related = get_related_populators(info, compiler.select, database)  # type: ignore[call-arg]  # of a later Django

    def make(row: list[Any]) -> Model:
        made: Model = info["model"].from_db(database, names, row[first:last])
        for populator in related:
            populator.populate(row, made)
        return made

    return make


def _converted(row: Sequence[Any], converters: list[tuple[int, list[Any], Any]]) -> list[Any]:
    values = list(row)
    for place, functions, expression in converters:
        for function in functions:
            values[place] = function(values[place], expression, connection)
    return values
