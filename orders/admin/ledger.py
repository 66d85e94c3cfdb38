"""The ledger, where staff can add credits like a billing system, and the mismatches found by the nightly comparison."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy

from accounts.audit import AuditedAdmin, ReadOnlyAdmin
from accounts.service_form import ServiceForm
from fonproxy.units import GIB
from orders import services as order_services
from orders.admin.customers import CustomerFilter, OfCustomerMixin
from orders.admin.sizes import SizesAdmin
from orders.models import MAX_LIMIT_BYTES, LedgerEntry, LedgerMismatch, LedgerReason


class CreditForm(ServiceForm[LedgerEntry]):
    """Posts a top-up, refund or adjustment through the service that the API uses."""

    reason = forms.ChoiceField(choices=[(reason.value, reason.label) for reason in order_services.CREDITS])

    class Meta:
        model = LedgerEntry
        fields = ("order", "reason", "bytes", "reference", "note")

    def apply(self, author: str, now: datetime) -> LedgerEntry:
        given = self.cleaned_data
        entry, _ = order_services.credit(
            given["order"],
            LedgerReason(given["reason"]),
            given["bytes"],
            reference=given["reference"] or None,
            author=author,
            now=now,
            note=given["note"],
        )
        return entry


@admin.register(LedgerEntry)
class LedgerEntryAdmin(OfCustomerMixin, SizesAdmin, ReadOnlyAdmin):
    form = CreditForm
    sizes: ClassVar[dict[str, dict[str, Any]]] = {
        "bytes": {
            "label": gettext_lazy("Amount, in GB"),
            "required": True,
            "min_value": -MAX_LIMIT_BYTES // GIB,
            "help_text": gettext_lazy("GB of 2^30 bytes; negative in an adjustment that reduces the limit."),
        }
    }
    list_display: tuple[str, ...] = (
        "period_date",
        "order",
        "user",
        "reason",
        "bytes",
        "requests",
        "reference",
        "author",
        "note",
        "created_at",
    )
    list_filter = (CustomerFilter, "reason", "period_date", "order__product__network")
    list_select_related = ("order__user",)
    ordering = ("-pk",)
    search_fields = ("reference__exact", "order__name", "order__external_id", "order__user__username")
    search_help_text = "An exact reference, an order's name or external id, or a user name"
    autocomplete_fields = ("order",)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return AuditedAdmin.has_add_permission(self, request)

    def save_model(self, request: HttpRequest, obj: LedgerEntry, form: Any, change: bool) -> None:
        posted = form.apply(request.user.get_username(), timezone.now())
        obj.pk = posted.pk
        obj.refresh_from_db()


@admin.register(LedgerMismatch)
class LedgerMismatchAdmin(ReadOnlyAdmin):
    list_display = ("found_at", "order", "day", "recorded", "measured")
    list_filter = ("found_at",)
    list_select_related = ("order",)
    search_fields = ("order__name", "order__external_id", "order__user__username")
    ordering = ("-pk",)
