"""The journal, unattributed traffic and exit-IP lookups for staff. Ingested data cannot be edited."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.admin_base import confirmed
from accounts.audit import AuditedAdmin, ReadOnlyAdmin
from analytics import abuse_admin, exit_ip_lookup, unattributed  # noqa: F401
from analytics.ingest import journal
from analytics.models import ExitLookup, IngestBatch, InsertBlock
from fonproxy.api.renderers import csv_file
from fonproxy.clickhouse.errors import EngineError
from fonproxy.timerange import FIRST_YEAR, LAST_YEAR

EXPORTED: Final = (
    "user", "order", "login", "client", "first", "last", "requests", "bytes", "domains", "ports"
)  # fmt: skip


class SettledFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "waiting for the engine"), ("settled", "settled")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(settled_at__isnull=self.value() == "waiting")


@admin.register(IngestBatch)
class IngestBatchAdmin(ReadOnlyAdmin):
    change_list_template = "admin/analytics/ingestbatch/change_list.html"
    list_display = ("id", "created_at", "account", "route", "rows", "size", "key", "state")
    list_filter = (SettledFilter, "route", "is_void")
    list_select_related = ("account",)
    search_fields = ("key", "account__username")
    search_help_text = "An idempotency key, or the name of the account that pushed."
    ordering = ("-id",)
    exclude = ("columns", "body_hash", "dirty_days")
    actions = ("void",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[IngestBatch]:
        return super().get_queryset(request).defer("columns", "dirty_days")

    @admin.display(description="state")
    def state(self, batch: IngestBatch) -> str:
        if batch.is_void:
            return "void"
        if batch.settled_at:
            return "in the engine"
        return "being sent" if batch.block_id else "waiting"

    # Voiding discards a customer's data, so it needs the permission to delete.
    @admin.action(description=_("Void selected batches that are not inserted yet"), permissions=["void"])
    @confirmed(_("Batches that are not inserted yet are discarded: their rows appear in no chart and no ledger."))
    def void(self, request: HttpRequest, queryset: QuerySet[IngestBatch]) -> None:
        voided = journal.void(queryset, timezone.now())
        for batch in voided:
            self.log_change(request, batch, "Voided before it was inserted.")
        self.message_user(
            request, f"{len(voided)} of {len(queryset)} batches were voided; the others were inserted already."
        )

    def has_void_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("analytics.delete_ingestbatch")

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.unattributed)
        return [path("unattributed/", page, name="analytics_unattributed"), *super().get_urls()]

    def unattributed(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Unattributed traffic",
            "opts": self.opts,
            "rows": unattributed.latest(timezone.now()),
        }
        return TemplateResponse(request, "admin/analytics/unattributed.html", context)


@admin.register(InsertBlock)
class InsertBlockAdmin(ReadOnlyAdmin):
    list_display = ("id", "created_at", "batch_count", "attempts", "settled_at", "last_error")
    list_filter = (SettledFilter,)
    search_fields = ("id", "last_error")
    ordering = ("-created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[InsertBlock]:
        blocks: QuerySet[InsertBlock] = super().get_queryset(request)
        of_each = (
            IngestBatch.objects.filter(block=OuterRef("pk")).order_by().values("block").annotate(number=Count("pk"))
        )
        return blocks.annotate(batch_count=Coalesce(Subquery(of_each.values("number")), 0))

    @admin.display(description="batches")
    def batch_count(self, block: Any) -> int:
        return int(block.batch_count)


class ExitLookupForm(forms.ModelForm[ExitLookup]):
    def clean_at(self) -> datetime:
        at: datetime = self.cleaned_data["at"]
        if not FIRST_YEAR <= at.year <= LAST_YEAR:
            raise forms.ValidationError(f"Must lie in the years {FIRST_YEAR} to {LAST_YEAR}.")
        return at


@admin.register(ExitLookup)
class ExitLookupAdmin(AuditedAdmin):
    """Lookups cannot be changed or deleted: they record who looked up an address, and why."""

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

    def get_urls(self) -> list[URLPattern]:
        export = self.admin_site.admin_view(self.export)
        return [path("<int:number>/csv/", export, name="analytics_exitlookup_export"), *super().get_urls()]

    def export(self, request: HttpRequest, number: int) -> HttpResponseBase:
        """Who used the address, as CSV; recorded like each view of the result."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        lookup = get_object_or_404(ExitLookup, pk=number)
        uses = self._uses(request, lookup)
        if uses is None:
            return HttpResponseRedirect(reverse("admin:analytics_exitlookup_change", args=[number]))
        rows = [
            [
                use.user.get_username() if use.user else None,
                use.order.published_id if use.order else None,
                use.login,
                use.client,
                use.first.isoformat(),
                use.last.isoformat(),
                use.requests,
                use.bytes,
                use.domains,
                use.ports,
            ]
            for use in uses
        ]
        return csv_file(f"exit-lookup-{number}.csv", EXPORTED, rows)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        lookup: ExitLookup | None = kwargs.get("obj")
        if lookup is not None:
            context |= {"uses": self._uses(request, lookup), "most": exit_ip_lookup.MAX_RESULTS}
        return super().render_change_form(request, context, *args, **kwargs)

    def _uses(self, request: HttpRequest, lookup: ExitLookup) -> list[exit_ip_lookup.ExitIpUse] | None:
        """None, and a message, when ClickHouse is unavailable."""
        self.log_change(request, lookup, "Looked up.")  # each view of the result is recorded, not only the first
        within = timedelta(minutes=lookup.within)
        try:
            return exit_ip_lookup.uses_of(lookup.address, lookup.at, within, lookup.domain, timezone.now())
        except EngineError:
            self.message_user(request, "ClickHouse is unavailable: try again later.", messages.ERROR)
            return None
