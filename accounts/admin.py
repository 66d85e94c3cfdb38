"""What staff see and do: customers, products, proxy logins and keys. Orders come with their ledger, in ``usage``."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts import services
from accounts.models import ApiKey, Product, ProxyUser, User
from fonproxy import ids


class PublishedIdSearch(admin.ModelAdmin[Any]):
    """Search that finds a row by its published id and by its number as well."""

    kind: str

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        number = int(term) if term.isascii() and term.isdigit() and len(term) <= 18 else ids.decode(self.kind, term)
        named, duplicates = super().get_search_results(request, queryset, search_term)
        return (named if number is None else named | queryset.filter(pk=number)), duplicates


@admin.register(User)
class UserAdmin(PublishedIdSearch, DjangoUserAdmin[User]):
    kind = "user"
    list_display = ("username", "email", "is_staff", "is_active", "date_joined", "published_id")
    readonly_fields = ("published_id", "last_login", "date_joined")
    show_full_result_count = False

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        return [*fieldsets, ("Published as", {"fields": ("published_id",)})] if obj else fieldsets


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin[Product]):
    list_display = ("name", "proxy_type", "network")
    list_filter = ("proxy_type", "network")
    search_fields = ("name",)
    ordering = ("name",)
    show_full_result_count = False


@admin.register(ProxyUser)
class ProxyUserAdmin(admin.ModelAdmin[ProxyUser]):
    list_display = ("login", "order", "user", "created_at")
    list_filter = ("order__product__network",)
    list_select_related = ("order__user",)
    search_fields = ("login", "order__name", "order__user__username")
    autocomplete_fields = ("order",)
    readonly_fields = ("created_at",)
    ordering = ("-pk",)
    show_full_result_count = False

    @admin.display(ordering="order__user__username")
    def user(self, proxy_user: ProxyUser) -> User:
        return proxy_user.order.user


class NewKeyForm(forms.ModelForm[ApiKey]):
    """Refuses one key too many while the form can still say so."""

    def clean_user(self) -> User:
        user: User = self.cleaned_data["user"]
        if services.active_keys(user, timezone.now()) >= services.MAX_ACTIVE_KEYS:
            raise forms.ValidationError(f"The user already holds {services.MAX_ACTIVE_KEYS} active keys.")
        return user


@admin.register(ApiKey)
class ApiKeyAdmin(PublishedIdSearch):
    kind = "key"
    list_display = ("prefix", "name", "user", "granted", "last_access_at", "state")
    list_filter = ("can_read", "can_ingest", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__username")
    autocomplete_fields = ("user",)
    ordering = ("-pk",)
    actions = ("revoke",)
    show_full_result_count = False
    granted_fields = ("name", "can_read", "can_ingest", "expires_at")
    told_fields = ("user", "prefix", "published_id", "state", "created_at", "last_access_at", "revoked_at")

    @admin.display(description="scopes")
    def granted(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @admin.display
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "Revoked"
        return "Active" if key.is_active(timezone.now()) else "Expired"

    @admin.action(description="Revoke selected API keys", permissions=["change"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        now = timezone.now()
        for key in keys:
            services.revoke_key(key, now)
            self.log_change(request, key, "Revoked.")
        self.message_user(request, "The selected keys are revoked.", messages.SUCCESS)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return ("user", *self.granted_fields) if obj is None else (*self.told_fields, *self.granted_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return () if obj is None else self.told_fields

    def get_form(self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **({} if change else {"form": NewKeyForm}), **kwargs)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=[name for name in form.changed_data if name in self.granted_fields])
            return
        key, secret = services.issue_key(
            user=obj.user, name=obj.name, scopes=obj.scopes, expires_at=obj.expires_at, now=timezone.now()
        )
        obj.pk = key.pk
        obj.refresh_from_db()
        self.message_user(request, f"Copy the key now, it is not shown again: {secret}", messages.SUCCESS)
