"""What every page of the staff console has in common: lists that stay fast, CSV, and actions that ask first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import reduce, wraps
from itertools import islice
from operator import or_
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import lookup_field
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.core.paginator import Paginator
from django.db import DataError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise, cached_property
from django.utils.html import strip_tags
from django.utils.safestring import SafeString
from django.utils.text import smart_split, unescape_string_literal
from django.utils.translation import gettext as _

from fonproxy.api.renderers import csv_lines

CHUNK: Final = 1000
MOST_NAMED: Final = 50
MOST_WORDS: Final = 20


class Unhurried(Paginator[Any]):
    """Does not count a million rows to number pages that nobody turns to."""

    MOST = 10_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return len(rows.order_by().values_list("pk")[: self.MOST])


class ConsoleList(ChangeList):
    model_admin: ConsoleAdmin

    def get_results(self, request: HttpRequest) -> None:
        try:
            super().get_results(request)
        except (ValueError, OverflowError, DataError) as fault:  # a number or a year beyond what a store can compare
            raise IncorrectLookupParameters(fault) from None
        self.model_admin.prepare(list(self.result_list))


class ConsoleAdmin(admin.ModelAdmin[Any]):
    """A list that is as fast with a million rows as with ten, and can be taken away as CSV.

    ``csv_columns`` are names as in ``list_display``, which they are by default; they head the columns as they are.
    """

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each would count the whole table
    paginator = Unhurried
    csv_columns: tuple[str, ...] = ()
    has_csv = True

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """As Django's, without its joins: each related table is searched once, instead of once for every row."""
        if "\0" in search_term:  # which PostgreSQL refuses even in a comparison
            return queryset.none(), False
        for word in islice(smart_split(search_term), MOST_WORDS):
            told = unescape_string_literal(word) if word[:1] in "\"'" and word[:1] == word[-1:] else word
            names = (_searched(self.model, name, told) for name in self.get_search_fields(request))
            queryset = queryset.filter(reduce(or_, names))
        return queryset, False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """No patterns: a database can be kept busy with one for as long as one likes."""
        return not lookup.endswith("regex") and super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ConsoleList

    def prepare(self, rows: list[Any]) -> None:
        """For lists whose columns need something to be asked: once for these rows, which are kept as they are."""

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_csv"
        return [path("csv/", self.admin_site.admin_view(self.csv), name=name), *super().get_urls()]

    def csv(self, request: HttpRequest) -> StreamingHttpResponse | HttpResponseRedirect:
        """All that the list would show on all its pages, under the same search, filters and order."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"{self._list_url()}?e=1")
        columns = self.csv_columns or [str(name) for name in self.get_list_display(request)]
        lines = csv_lines(columns, self._csv_rows(rows, columns))
        return StreamingHttpResponse(
            iter(lambda: "".join(islice(lines, CHUNK)), ""),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{self.opts.model_name}.csv"'},
        )

    def _csv_rows(self, rows: QuerySet[Any], columns: list[str] | tuple[str, ...]) -> Iterator[list[Any]]:
        found = rows.iterator(chunk_size=CHUNK)
        while chunk := list(islice(found, CHUNK)):
            self.prepare(chunk)
            for row in chunk:
                yield [self._csv_value(row, name) for name in columns]

    def _csv_value(self, row: Model, name: str) -> Any:
        try:
            value = lookup_field(name, row, self)[2]
        except ObjectDoesNotExist:
            return None
        match value:
            case None | bool() | int() | list():
                return value
            case datetime():
                return value.isoformat()
            case SafeString():
                return strip_tags(value)
            case _:
                return str(value)

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *rest: Any) -> HttpResponse | None:
        """Nothing is done to more rows than the list says that there are."""
        if request.POST.get("select_across") == "1" and queryset.order_by()[Unhurried.MOST :].exists():
            told = _("That would be more than %(most)s rows: search or filter first.") % {"most": f"{Unhurried.MOST:,}"}
            self.message_user(request, told, messages.ERROR)
            return None
        return super().response_action(request, queryset, *rest)

    def _list_url(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")


def _searched(model: type[Model], name: str, word: str) -> Q:
    """Whether what ``name`` leads to, as in ``search_fields``, contains the word."""
    first, _, rest = name.partition("__")
    field: Any = model._meta.get_field(first)
    if not (field.is_relation and rest):
        return Q(**{f"{first}__{rest or 'icontains'}": word})
    found = field.related_model._default_manager.filter(_searched(field.related_model, rest, word))
    if field.one_to_many:
        return Q(pk__in=found.values(field.field.attname))
    return Q(**{f"{first}__in": found.values("pk")})


Action = Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponse | None]


def confirmed(effect: Promise) -> Callable[[Action], Action]:
    """An action of a list that first shows what it would be done to, and the sentence that says what it does."""

    def decorate(action: Action) -> Action:
        @wraps(action)
        def ask_first(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
            if request.POST.get("confirmed") == "yes":
                return action(model_admin, request, queryset)
            context = {
                **model_admin.admin_site.each_context(request),
                "title": _("Are you sure?"),
                "opts": model_admin.opts,
                "effect": effect,
                "count": Unhurried(queryset, 1).count,
                "named": queryset[:MOST_NAMED],
                "most_named": MOST_NAMED,
                "action": request.POST["action"],
                "selected": request.POST.getlist("_selected_action"),
                "select_across": request.POST.get("select_across", "0"),
            }
            return TemplateResponse(request, "admin/confirm_action.html", context)

        return ask_first

    return decorate
