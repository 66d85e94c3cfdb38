"""The journal and what it could not attribute, for staff. Nothing here edits what was pushed."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _

from accounts.audit import Audited
from analytics import exits, journal, unattributed
from analytics.models import Batch, ExitLookup, Group
from fonproxy.admin import confirmed
from fonproxy.clickhouse.errors import EngineError
from fonproxy.timerange import FIRST_YEAR, LAST_YEAR

MOST_DAYS: Final = 50


class JournalAdmin(Audited):
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class SettledFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "waiting for the engine"), ("settled", "settled")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(settled_at__isnull=self.value() == "waiting")


@admin.register(Batch)
class BatchAdmin(JournalAdmin):
    change_list_template = "admin/analytics/batch/change_list.html"
    list_display = ("id", "created_at", "account", "route", "rows", "size", "key", "state")
    list_filter = (SettledFilter, "route", "is_void")
    list_select_related = ("account",)
    search_fields = ("key", "account__username")
    search_help_text = "An idempotency key, or the name of the account that pushed."
    ordering = ("-id",)
    exclude = ("columns", "body_hash", "touched")
    readonly_fields = ("days",)
    actions = ("void",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Batch]:
        return super().get_queryset(request).defer("columns", "touched")

    @admin.display(description=_("orders and days"))
    def days(self, batch: Batch) -> str:
        """What its rows are about; the ledger looks at those days again."""
        links = ((reverse("admin:accounts_order_change", args=[order]), order, day) for order, day in batch.touched)
        listed = format_html_join("", '<li><a href="{}">{}</a>, {}</li>', islice(links, MOST_DAYS))
        more = len(batch.touched) - MOST_DAYS
        rest = format_html("<li>{}</li>", _("and %(more)s more") % {"more": f"{more:,}"}) if more > 0 else ""
        return format_html("<ul>{}{}</ul>", listed, rest)

    @admin.display(description="state")
    def state(self, batch: Batch) -> str:
        if batch.is_void:
            return "void"
        if batch.settled_at:
            return "in the engine"
        return "being sent" if batch.group_id else "waiting"

    # Voiding takes back somebody's data, so it asks for the permission that deleting would.
    @admin.action(description=_("Void selected batches that were not sent yet"), permissions=["void"])
    @confirmed(_("Those that were not sent yet never will be: what they hold is in no count and no ledger."))
    def void(self, request: HttpRequest, queryset: QuerySet[Batch]) -> None:
        voided = journal.void(queryset, timezone.now())
        for batch in voided:
            self.log_change(request, batch, "Voided before it was sent.")
        self.message_user(request, f"{len(voided)} of {len(queryset)} batches were voided; the others had been sent.")

    def has_void_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("analytics.delete_batch")

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.unattributed)
        return [path("unattributed/", page, name="analytics_unattributed"), *super().get_urls()]

    def unattributed(self, request: HttpRequest) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Unattributed traffic",
            "opts": self.opts,
            "rows": unattributed.latest(timezone.now()),
        }
        return TemplateResponse(request, "admin/analytics/unattributed.html", context)


@admin.register(Group)
class GroupAdmin(JournalAdmin):
    list_display = ("id", "created_at", "batch_count", "attempts", "settled_at", "last_error")
    list_filter = (SettledFilter,)
    search_fields = ("id", "last_error")
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        groups: QuerySet[Group] = super().get_queryset(request)
        of_each = Batch.objects.filter(group=OuterRef("pk")).order_by().values("group").annotate(number=Count("pk"))
        return groups.annotate(batch_count=Coalesce(Subquery(of_each.values("number")), 0))

    @admin.display(description="batches")
    def batch_count(self, group: Any) -> int:
        return int(group.batch_count)


class ExitLookupForm(forms.ModelForm[ExitLookup]):
    def clean_at(self) -> datetime:
        at: datetime = self.cleaned_data["at"]
        if not FIRST_YEAR <= at.year <= LAST_YEAR:
            raise forms.ValidationError(f"Must lie in the years {FIRST_YEAR} to {LAST_YEAR}.")
        return at


@admin.register(ExitLookup)
class ExitLookupAdmin(Audited):
    """Asked once, kept for ever: who looked up whom, and why, is itself on record."""

    form = ExitLookupForm
    change_form_template = "admin/analytics/exitlookup/change_form.html"
    list_display = ("created_at", "author", "address", "at", "domain", "note")
    list_select_related = ("author",)
    search_fields = ("address", "domain", "note", "author__username")
    ordering = ("-pk",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ExitLookup, form: Any, change: bool) -> None:
        obj.author_id = request.user.pk
        obj.save()

    def response_add(self, request: HttpRequest, obj: ExitLookup, post_url_continue: str | None = None) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:analytics_exitlookup_change", args=[obj.pk]))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        lookup: ExitLookup | None = kwargs.get("obj")
        if lookup is not None:
            context |= {"uses": self._uses(request, lookup), "most": exits.MOST}
        return super().render_change_form(request, context, *args, **kwargs)

    def _uses(self, request: HttpRequest, lookup: ExitLookup) -> list[exits.Use]:
        self.log_change(request, lookup, "Looked up.")  # whoever sees who it was is on record, not only who asked first
        within = timedelta(minutes=lookup.within)
        try:
            return exits.uses_of(lookup.address, lookup.at, within, lookup.domain, timezone.now())
        except EngineError:
            self.message_user(request, "ClickHouse is away: look again later.", messages.ERROR)
            return []
