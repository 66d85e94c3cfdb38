"""The state of each order as published to gateways."""

from __future__ import annotations

from django.contrib import admin

from accounts.audit import ReadOnlyAdmin
from orders.models import CutOff


@admin.register(CutOff)
class CutOffAdmin(ReadOnlyAdmin):
    list_display = ("number", "order", "state", "changed_at")
    list_filter = ("state",)
    list_select_related = ("order",)
    search_fields = ("order__name", "order__external_id", "order__user__username", "order__proxy_users__login")
    ordering = ("-number",)
