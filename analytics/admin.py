"""The journal and unattributed traffic for staff. Ingested data cannot be edited."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.admin_base import confirmed
from accounts.audit import ReadOnlyAdmin
from analytics import abuse_admin, unattributed  # noqa: F401
from analytics.ingest import journal
from analytics.models import IngestBatch, InsertBlock


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
    search_help_text = "An idempotency key, or the name of the pushing account."
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

    # Voiding discards a customer's data, so it requires the permission to delete.
    @admin.action(description=_("Void selected batches that have not been inserted yet"), permissions=["void"])
    @confirmed(_("Batches that have not been inserted yet are discarded: their rows appear in no chart and no ledger."))
    def void(self, request: HttpRequest, queryset: QuerySet[IngestBatch]) -> None:
        voided = journal.void(queryset, timezone.now())
        for batch in voided:
            self.log_change(request, batch, "Voided before it was inserted.")
        self.message_user(
            request, f"{len(voided)} of {len(queryset)} batches were voided; the others have already been inserted."
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
