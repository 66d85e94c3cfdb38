"""The audit log: Django's admin log with old and new values, read-only for everybody."""

from __future__ import annotations

import json
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from rest_framework.throttling import BaseThrottle

from accounts.admin_base import ConsoleAdmin
from accounts.models import User
from fonproxy import ids
from fonproxy.logs import request_id
from fonproxy.numbers import WHOLE_NUMBER

MAX_VALUE_LENGTH: Final = 200
# Besides passwords: the address of a chat contains its token.
SECRET_FIELDS: Final = ("chat",)


class AuditedAdmin(ConsoleAdmin):
    """Logs the old and new value of each changed field, the client's address and the request id.

    ``deleted_along`` are models whose rows may be deleted with a row of this model but not on their own.
    """

    deleted_along: tuple[type[Model], ...] = ()

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        objects, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return objects, counts, set(lacking) - {model._meta.verbose_name for model in self.deleted_along}, protected

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        given = form.cleaned_data.items()
        said = [_sentence("Added with", [f"{name} {_as_text(value)}" for name, value in given if _is_open(name)])] * add
        said += [_sentence("Changed", _changes(form))] * (not add)
        for formset in formsets or ():
            kind = formset.model._meta.verbose_name
            said += [f"Added {kind} {row}." for row in formset.new_objects]
            said += [f"Deleted {kind} {row}." for row in formset.deleted_objects]
            changed = {row.pk for row, _ in formset.changed_objects}
            rows = [row for row in formset.forms if row.instance.pk in changed]
            said += [_sentence(f"Changed {kind} {row.instance}:", _changes(row)) for row in rows]
        return " ".join(filter(None, said)) or "Changed nothing."

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        return super().log_addition(request, obj, _with_origin(request, message))

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        return super().log_change(request, obj, _with_origin(request, message))

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        assert request.user.pk is not None
        message = _with_origin(request, "Deleted.")
        return LogEntry.objects.log_actions(request.user.pk, queryset, DELETION, change_message=message)

    def log_for_all(self, request: HttpRequest, what: str, message: str) -> None:
        """Adds one log entry for an action on many rows."""
        assert isinstance(request.user, User)
        LogEntry.objects.create(
            user=request.user,
            content_type=ContentType.objects.get_for_model(self.model),
            object_repr=what[:200],
            action_flag=CHANGE,
            change_message=_with_origin(request, message),
        )


def _with_origin(request: HttpRequest, message: Any) -> str:
    text = message if isinstance(message, str) else LogEntry(change_message=json.dumps(message)).get_change_message()
    return f"{text} (from {BaseThrottle().get_ident(request)}, request {request_id.get()})"  # type: ignore[arg-type]


def _sentence(start: str, parts: list[str]) -> str:
    return f"{start} {', '.join(parts)}." if parts else ""


def _changes(form: forms.BaseForm) -> list[str]:
    return [
        f"{name} from {_as_text(_before(form, name))} to {_as_text(form.cleaned_data.get(name))}"
        if _is_open(name)
        else name
        for name in form.changed_data
    ]


def _is_open(name: str) -> bool:
    return "password" not in name and name not in SECRET_FIELDS


def _before(form: forms.BaseForm, name: str) -> Any:
    """The initial value in the form; for a foreign key the row instead of its number."""
    value, field = form.get_initial_for_field(form.fields[name], name), form.fields[name]
    if (
        isinstance(field, forms.ModelChoiceField)
        and not isinstance(value, (list, Model))
        and field.queryset is not None
    ):
        return field.queryset.filter(pk=value).first() or value
    return value


def _as_text(value: Any) -> str:
    if value is None or value == "":
        return "nothing"
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple, QuerySet)) else str(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}…"


class StaffFilter(admin.SimpleListFilter):
    """Lists only staff: a list of all users would include all customers. Former staff are found by name."""

    title = "member of staff"
    parameter_name = "user"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        staff = User.objects.filter(is_staff=True).order_by("username")
        return [(str(pk), name) for pk, name in staff.values_list("pk", "username")[:100]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LogEntry]) -> QuerySet[LogEntry]:
        number = self.value() or ""
        return queryset.filter(user=int(number)) if WHOLE_NUMBER.fullmatch(number) else queryset


class ReadOnlyMixin:
    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnlyMixin, ConsoleAdmin):
    """Read-only. The admin therefore cannot delete authors of entries, only deactivate them."""

    list_display = ("action_time", "user", "action", "changed", "message")
    csv_columns = ("action_time", "user", "action", "content_type", "changed", "message")
    list_display_links = None
    list_filter = (StaffFilter, "action_flag", ("content_type", admin.RelatedOnlyFieldListFilter), "action_time")
    list_select_related = ("user", "content_type")
    search_fields = ("user__username", "object_repr", "object_id", "change_message")
    search_help_text = "A name, an object or its number, an address, a request id, or a word of the change"
    ordering = ("-pk",)
    actions = None

    @admin.display(ordering="action_flag")
    def action(self, entry: LogEntry) -> str:
        return str(entry.get_action_flag_display())

    @admin.display(description="object")
    def changed(self, entry: LogEntry) -> str:
        url = None if entry.is_deletion() else entry.get_admin_url()
        return format_html('<a href="{}">{}</a>', url, entry.object_repr) if url else entry.object_repr

    @admin.display
    def message(self, entry: LogEntry) -> str:
        return str(entry.get_change_message())


class ReadOnlyAdmin(ReadOnlyMixin, AuditedAdmin):
    """Rows that cannot be added, changed or deleted in the admin; subclasses may have actions."""


class PublishedIdAdmin(AuditedAdmin):
    """Search also finds a row by its published id and by its number."""

    kind: str

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        number = int(term) if term.isascii() and term.isdigit() and len(term) <= 18 else ids.decode(self.kind, term)
        named, duplicates = super().get_search_results(request, queryset, search_term)
        return (named if number is None else named | queryset.filter(pk=number)), duplicates
