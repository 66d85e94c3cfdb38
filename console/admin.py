"""Staff lists that need data of several apps, or link to the console's own pages."""

from __future__ import annotations

from datetime import UTC, date
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _

from accounts.admin import AuditRecordAdmin, UserAdmin
from accounts.admin_base import ConsoleList
from accounts.models import AuditRecord, User
from analytics.admin import IngestBatchAdmin
from analytics.models import IngestBatch
from fonproxy.units import amount, localised
from orders.admin import LedgerEntryAdmin, OrderAdmin
from orders.models import LedgerEntry, Order, WebhookEndpoint
from usage import subscriptions

MAX_DAYS: Final = 50
PICKERS: Final = ("groups", "user_permissions")
AUDITED: Final[dict[AuditRecord.Kind, Any]] = {
    AuditRecord.Kind.USER: User,
    AuditRecord.Kind.ORDER: Order,
    AuditRecord.Kind.WEBHOOK: WebhookEndpoint,
}


class EndsFilter(admin.SimpleListFilter):
    title = _("end")
    parameter_name = "ends"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("soon", _("ends or runs out within three days"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        if self.value() != "soon":
            return queryset
        return queryset.filter(pk__in=subscriptions.ending_soon(timezone.now()).values("pk"))


class TrafficFilter(admin.SimpleListFilter):
    title = _("traffic")
    parameter_name = "traffic"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("today", _("had traffic today"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        if self.value() != "today":
            return queryset
        orders = Order.objects.filter(user=OuterRef("pk"), ledger__usage_day=timezone.now().astimezone(UTC).date())
        return queryset.filter(Exists(orders))


class CustomerList(ConsoleList):
    def url_for_result(self, result: Any) -> str:
        """Links customers to their page, staff to their form."""
        return page_of(result)


admin.site.unregister([User, AuditRecord, Order, LedgerEntry, IngestBatch])


@admin.register(User)
class CustomerAdmin(UserAdmin):
    list_filter: ClassVar[Any] = (TrafficFilter, *UserAdmin.list_filter)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ConsoleList]:
        return CustomerList

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Hides the pickers of groups and permissions on a customer's form."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or obj.has_powers:
            return fieldsets
        return [
            (title, {**options, "fields": tuple(name for name in options["fields"] if name not in PICKERS)})
            for title, options in fieldsets
        ]


@admin.register(AuditRecord)
class AuditTrailAdmin(AuditRecordAdmin):
    """Records that link to the account, the order or the webhook that was changed."""

    list_display: tuple[str, ...] = ("at", "action", "changed", "actor", "key")

    def prepare(self, rows: list[Any]) -> None:
        super().prepare(rows)
        found: dict[str, dict[int, Any]] = {
            kind: model.objects.in_bulk({row.number for row in rows if row.kind == kind})
            for kind, model in AUDITED.items()
        }
        for row in rows:
            row.subject = found[row.kind].get(row.number)

    @admin.display(description=_("changed"), ordering="number")
    def changed(self, row: Any) -> str:
        kind = row.get_kind_display()
        if row.subject is None:
            return _("%(kind)s %(number)s (deleted)") % {"kind": kind, "number": row.number}
        return format_html('<a href="{}">{} {}</a>', page_of(row.subject), kind, row.subject)


@admin.register(Order)
class FilteredOrderAdmin(OrderAdmin):
    list_filter: ClassVar[Any] = (EndsFilter, *OrderAdmin.list_filter)


@admin.register(LedgerEntry)
class LedgerAdmin(LedgerEntryAdmin):
    """Lines with readable amounts; usage lines link to their traffic."""

    list_display: tuple[str, ...] = (
        "period_date", "order", "user", "reason", "size", "requests", "evidence", "reference", "author", "note",
        "created_at",
    )  # fmt: skip
    csv_columns = LedgerEntryAdmin.list_display

    @admin.display(description=_("amount"), ordering="bytes")
    def size(self, entry: LedgerEntry) -> str:
        return amount(entry.bytes)

    @admin.display(description=_("traffic"))
    def evidence(self, entry: LedgerEntry) -> str:
        if entry.usage_day is None:
            return ""
        return format_html('<a href="{}">{}</a>', evidence_url(entry.order_id, entry.usage_day), _("show"))


@admin.register(IngestBatch)
class BatchAdmin(IngestBatchAdmin):
    """Batches whose orders and days link to the evidence of the ledger."""

    readonly_fields = ("days",)

    @admin.display(description=_("orders and days"))
    def days(self, batch: IngestBatch) -> str:
        pairs = batch.dirty_days[:MAX_DAYS]
        names = dict(Order.objects.filter(pk__in=[order for order, _day in pairs]).values_list("pk", "name"))
        known = ((evidence_url(order, day), names[order], day) for order, day in pairs if order in names)
        unknown = ((_("no such order"), day) for order, day in pairs if order not in names)
        listed = format_html_join("", '<li><a href="{}">{}</a>, {}</li>', known)
        listed += format_html_join("", "<li>{}, {}</li>", unknown)
        more = len(batch.dirty_days) - MAX_DAYS
        rest = format_html("<li>{}</li>", _("and %(more)s more") % {"more": localised(more)}) if more > 0 else ""
        return format_html("<ul>{}{}</ul>", listed, rest)


def evidence_url(order_id: int, day: date | str) -> str:
    return reverse("admin:console_evidence", args=[order_id, str(day)])


def page_of(subject: User | Order | WebhookEndpoint) -> str:
    """A customer's page, or the form of a member of staff or of anything else."""
    if isinstance(subject, User) and not subject.has_powers:
        return reverse("admin:console_customer", args=[subject.pk])
    return reverse(f"admin:{subject._meta.app_label}_{subject._meta.model_name}_change", args=[subject.pk])
