"""Proxy logins with their limits."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.audit import AuditedAdmin
from orders import addresses, passwords, proxy_users
from orders.admin.customers import CustomerFilter, OfCustomerMixin
from orders.limits import FOREVER
from orders.models import ProxyUser
from orders.size_field import GigabytesField


class ProxyUserAdminForm(forms.ModelForm[ProxyUser]):
    day_limit_bytes = GigabytesField(label="Daily limit, in GB", help_text="Empty: no limit.")
    month_limit_bytes = GigabytesField(label="Monthly limit, in GB", help_text="Empty: no limit.")
    total_limit_bytes = GigabytesField(label="Limit in total, in GB", help_text="Empty: no limit.")
    allowed_ips = forms.CharField(
        label="Allowed addresses",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Addresses and networks of clients, one per line; none means any.",
    )
    new_password = forms.RegexField(
        f"^(?:{passwords.PASSWORD.pattern})$",
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        error_messages={"invalid": passwords.RULE},
        help_text="Replaces the password. Passwords cannot be read again.",
    )

    class Meta:
        model = ProxyUser
        fields = ("login", "order", "max_connections", *proxy_users.LIMITS.values(), "allowed_ips")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["allowed_ips"] = "\n".join(self.instance.allowed_ips)

    def clean_allowed_ips(self) -> list[str]:
        try:
            return addresses.normalized(self.cleaned_data["allowed_ips"].split())
        except addresses.InvalidNetwork as fault:
            raise forms.ValidationError(str(fault)) from None


@admin.register(ProxyUser)
class ProxyUserAdmin(OfCustomerMixin, AuditedAdmin):
    form = ProxyUserAdminForm
    list_display = ("login", "order", "user", "has_password", "max_connections", "stopped", "created_at")
    list_filter = (CustomerFilter, "order__product__network")
    list_select_related = ("order__user",)
    search_fields = ("login", "order__name", "order__user__username")
    autocomplete_fields = ("order",)
    fields = (
        "login",
        "order",
        "max_connections",
        tuple(proxy_users.LIMITS.values()),
        "stopped",
        "allowed_ips",
        "new_password",
        "created_at",
    )
    readonly_fields = ("stopped", "created_at")
    ordering = ("-pk",)

    @admin.display(ordering="stopped_until", description=gettext_lazy("limit reached, stopped until"))
    def stopped(self, proxy_user: ProxyUser) -> str | datetime | None:
        if proxy_user.stopped_until == FOREVER:
            return _("its limit is raised")
        return proxy_user.stopped_until if proxy_user.is_stopped(timezone.now()) else None

    @admin.display(boolean=True, description=gettext_lazy("password"))
    def has_password(self, proxy_user: ProxyUser) -> bool:
        return proxy_user.has_password

    def save_model(self, request: HttpRequest, obj: ProxyUser, form: Any, change: bool) -> None:
        if form.cleaned_data["new_password"]:
            obj.verifier = passwords.verifier_of(form.cleaned_data["new_password"])
        with transaction.atomic():
            proxy_users.save(obj, timezone.now())

    def delete_model(self, request: HttpRequest, obj: ProxyUser) -> None:
        proxy_users.remove([obj], timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ProxyUser]) -> None:
        proxy_users.remove(list(queryset), timezone.now())
