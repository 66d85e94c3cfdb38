"""Base classes of the staff console: lists that stay fast, CSV downloads, and actions with a confirmation page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import reduce, wraps
from itertools import islice
from operator import or_
from tempfile import TemporaryFile
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import lookup_field
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import DataError, transaction
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise, cached_property
from django.utils.html import strip_tags
from django.utils.safestring import SafeString
from django.utils.text import capfirst, smart_split, unescape_string_literal
from django.utils.translation import gettext as _

from fonproxy.api.errors import TooBusy
from fonproxy.api.exports import streamed
from fonproxy.api.renderers import CSV_TYPE, csv_file_parts
from fonproxy.units import localised

CHUNK: Final = 1000
MAX_NAMED: Final = 50
MAX_WORDS: Final = 20
# The suffixes that Django's own filters append to the name of their field.
FILTER_ENDS: Final = ("__id__exact", "__exact", "__isnull", "__isempty", "__gte", "__lt")


class CappedPaginator(Paginator[Any]):
    """Counts at most MAX_ROWS rows, because counting a large table is slow and nobody opens later pages."""

    MAX_ROWS = 10_000

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return len(rows.order_by().values_list("pk")[: self.MAX_ROWS])


class ConsoleList(ChangeList):
    model_admin: ConsoleAdmin

    def get_filters(self, request: HttpRequest) -> Any:
        """Treats an undeclared filter like an unknown one."""
        try:
            return super().get_filters(request)
        except DisallowedModelAdminLookup as fault:
            raise IncorrectLookupParameters(fault) from None

    def get_results(self, request: HttpRequest) -> None:
        try:
            super().get_results(request)
        except (ValueError, OverflowError, DataError) as fault:  # a number or a year beyond what a store can compare
            raise IncorrectLookupParameters(fault) from None
        self.model_admin.prepare(list(self.result_list))


class ConsoleAdmin(admin.ModelAdmin[Any]):
    """A list that stays fast with a million rows, with a CSV download.

    ``csv_columns`` are names as in ``list_display``, which is the default; they are also the column headers.
    """

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each would count the whole table
    paginator = CappedPaginator
    csv_columns: tuple[str, ...] = ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """As Django's, but without joins: each related table is searched once, not once per row."""
        if "\0" in search_term:  # PostgreSQL refuses it even in a comparison
            return queryset.none(), False
        for word in islice(smart_split(search_term), MAX_WORDS):
            text = unescape_string_literal(word) if word[:1] in "\"'" and word[:1] == word[-1:] else word
            names = (_searched(self.model, name, text) for name in self.get_search_fields(request))
            queryset = queryset.filter(reduce(or_, names))
        return queryset, False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allows the list's own filters and links of its columns only: other columns could be read by guessing."""
        declared = {_filter_name(item) for item in self.get_list_filter(request)}
        related = {
            f"{name}__id__exact"
            for name in map(str, self.get_list_display(request))
            if name in {field.name for field in self.opts.fields if field.is_relation}
        }
        name = next((lookup.removesuffix(end) for end in FILTER_ENDS if lookup.endswith(end)), lookup)
        return name in declared or lookup in related

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """None, which is a 404, also for a number beyond what a store can compare."""
        try:
            with transaction.atomic():
                return super().get_object(request, object_id, from_field)
        except (OverflowError, DataError):
            return None

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ConsoleList

    def prepare(self, rows: list[Any]) -> None:
        """A hook for lists whose columns need extra data: loads it for all these rows at once."""

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_csv"
        return [path("csv/", self.admin_site.admin_view(self.csv), name=name), *super().get_urls()]

    def csv(self, request: HttpRequest) -> HttpResponseBase:
        """All rows of the list, on all pages, with the same search, filters and order."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"{self._list_url()}?e=1")
        columns = self.csv_columns or [str(name) for name in self.get_list_display(request)]
        assert request.user.pk is not None
        try:
            lines = csv_file_parts(columns, self._csv_rows(rows, columns))
            return streamed(request.user.pk, lines, CSV_TYPE, f"{self.opts.model_name}.csv")
        except TooBusy as refusal:
            self.message_user(request, str(refusal.detail), messages.ERROR)
            return HttpResponseRedirect(self._list_url())

    def _csv_rows(self, rows: QuerySet[Any], columns: list[str] | tuple[str, ...]) -> Iterator[list[Any]]:
        for keys in self._keys(rows):
            found = rows.in_bulk(keys)
            chunk = [found[key] for key in keys if key in found]
            self.prepare(chunk)
            for row in chunk:
                yield [self._csv_value(row, name) for name in columns]

    def _keys(self, rows: QuerySet[Any]) -> Iterator[list[Any]]:
        """The primary keys in the list's order, read at once and kept in a file.

        A download may outlive connections and threads, so no database cursor stays open between its parts.
        """
        with TemporaryFile("w+", encoding="ascii") as file:
            file.writelines(f"{key}\n" for key in rows.values_list("pk", flat=True).iterator(CHUNK))
            file.seek(0)
            while lines := list(islice(file, CHUNK)):
                yield [self.opts.pk.to_python(line.strip()) for line in lines]

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
        """Refuses an action on more rows than the list counts, and one on malformed keys."""
        if not _are_keys(queryset, request.POST.getlist(ACTION_CHECKBOX_NAME)):
            self.message_user(request, _("The selection is not valid. Select the rows again."), messages.ERROR)
            return None
        if request.POST.get("select_across") == "1" and queryset.order_by()[CappedPaginator.MAX_ROWS :].exists():
            message = _("More than %(most)s rows are selected. Search or filter first.") % {
                "most": localised(CappedPaginator.MAX_ROWS)
            }
            self.message_user(request, message, messages.ERROR)
            return None
        return super().response_action(request, queryset, *rest)

    def _list_url(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")


def _are_keys(rows: QuerySet[Any], selected: list[str]) -> bool:
    """Whether the rows' store can compare these texts with its primary keys."""
    try:
        with transaction.atomic():
            rows.filter(pk__in=selected).exists()
    except (ValueError, OverflowError, ValidationError, DataError):
        return False
    return True


def _filter_name(item: Any) -> str:
    """The field or parameter of an item of ``list_filter``."""
    match item:
        case str():
            return item
        case (name, _):
            return str(name)
        case _:
            return str(item.parameter_name)


def _searched(model: type[Model], name: str, word: str) -> Q:
    """A condition that the related field ``name``, as in ``search_fields``, contains the word."""
    first, _, rest = name.partition("__")
    field: Any = model._meta.get_field(first)
    if not (field.is_relation and rest):
        return Q(**{f"{first}__{rest or 'icontains'}": word})
    found = field.related_model._default_manager.filter(_searched(field.related_model, rest, word))
    if field.one_to_many:
        return Q(pk__in=found.values(field.field.attname))
    return Q(**{f"{first}__in": found.values("pk")})


def secrets_page(
    request: HttpRequest, title: str, lead: str, secrets: Iterable[tuple[str, str]], back: str
) -> TemplateResponse:
    """The response to the form that created ``secrets``, a mapping of names to values; it is the only place that shows
    them.

    A message would keep them readable in the sessions table.
    """
    context = {**admin.site.each_context(request), "title": title, "lead": lead, "secrets": secrets, "back": back}
    return TemplateResponse(request, "admin/secrets.html", context, headers={"Cache-Control": "no-store"})


class SecretsAdmin(admin.ModelAdmin[Any]):
    """Adding a row creates secrets, in the row's ``new_secrets``, which only the response shows."""

    def response_add(self, request: HttpRequest, obj: Any, *rest: Any) -> HttpResponse:
        change = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[obj.pk])
        back = change if self.has_view_or_change_permission(request, obj) else reverse("admin:index")
        title = _("%(kind)s added") % {"kind": capfirst(self.opts.verbose_name)}
        return secrets_page(request, title, str(obj), obj.new_secrets, back)


Action = Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponse | None]


def confirmed(effect: Promise) -> Callable[[Action], Action]:
    """A list action with a confirmation page that shows the selected rows and the given consequence."""

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
                "count": CappedPaginator(queryset, 1).count,
                "named": queryset[:MAX_NAMED],
                "most_named": MAX_NAMED,
                "action": request.POST["action"],
                "selected": request.POST.getlist("_selected_action"),
                "select_across": request.POST.get("select_across", "0"),
            }
            return TemplateResponse(request, "admin/confirm_action.html", context)

        return ask_first

    return decorate
