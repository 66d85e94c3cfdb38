"""Admin of messages and their deliveries: how many arrived, which failed, and sending them again."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy

from accounts.audit import ReadOnlyAdmin, ReadOnlyMixin
from fonproxy import delivery


class BaseDeliveryInline(ReadOnlyMixin, admin.TabularInline[Any, Any]):
    extra = 0
    can_delete = False


class DeliveryStateFilter(admin.SimpleListFilter):
    title = gettext_lazy("delivery")
    parameter_name = "delivery"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("waiting", gettext_lazy("waiting")),
            ("failing", gettext_lazy("failing")),
            ("given_up", gettext_lazy("given up")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        state = delivery.STATES.get(self.value() or "")
        if state is None:
            return queryset
        deliveries = queryset.model._meta.get_field("deliveries").related_model._default_manager
        return queryset.filter(deliveries__in=deliveries.filter(state)).distinct()


class MessageAdmin(ReadOnlyAdmin):
    """A model with ``deliveries``. Users with ``send_permission`` may send its messages again."""

    send_permission: ClassVar[str]
    actions = ("send_again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request).prefetch_related("deliveries")
        return found

    @admin.display
    def delivered(self, message: Any) -> str:
        every = message.deliveries.all()
        return f"{sum(row.delivered_at is not None for row in every)} of {len(every)}"

    @admin.display
    def last_error(self, message: Any) -> str:
        return "; ".join(row.last_error for row in message.deliveries.all() if row.last_error)

    # Sending again changes no rows, but requires more than the view permission.
    @admin.action(description=gettext_lazy("Send selected %(verbose_name_plural)s again"), permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        relation: Any = self.opts.get_field("deliveries")
        deliveries = relation.related_model._default_manager.filter(**{f"{relation.field.name}__in": queryset})
        sent = delivery.send_again(deliveries, timezone.now())
        for message in queryset:
            self.log_change(request, message, "Sent again.")
        self.message_user(request, f"{sent} messages will be sent again within seconds.", messages.SUCCESS)

    def has_send_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(self.send_permission)
