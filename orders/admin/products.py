"""Products."""

from __future__ import annotations

from django.contrib import admin

from accounts.audit import AuditedAdmin
from orders.models import Product


@admin.register(Product)
class ProductAdmin(AuditedAdmin):
    list_display = ("name", "proxy_type", "network")
    list_filter = ("proxy_type", "network")
    search_fields = ("name",)
    ordering = ("name",)
