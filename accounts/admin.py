"""What staff see and do: customers, products, proxy logins and keys. Orders come with their ledger, in ``usage``."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from accounts import applications, services, viewing
from accounts.audit import Audited
from accounts.models import ApiKey, Application, ApplicationKey, Order, Product, ProxyUser, User
from fonproxy import ids
from fonproxy.admin import confirmed

DASHBOARD = "/dashboard"
# What would let a member of staff give themselves anything.
POWERS = ("is_staff", "is_superuser", "groups", "user_permissions")


class PublishedIdSearch(Audited):
    """Search that finds a row by its published id and by its number as well."""

    kind: str

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        number = int(term) if term.isascii() and term.isdigit() and len(term) <= 18 else ids.decode(self.kind, term)
        named, duplicates = super().get_search_results(request, queryset, search_term)
        return (named if number is None else named | queryset.filter(pk=number)), duplicates


class TrafficFilter(admin.SimpleListFilter):
    title = _("traffic")
    parameter_name = "traffic"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("today", _("carried traffic today"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        if self.value() != "today":
            return queryset
        # The ledger lies in a layer above; its name is all that is known of it here.
        carried = Order.objects.filter(user=OuterRef("pk"), ledger__usage_day=timezone.now().astimezone(UTC).date())
        return queryset.filter(Exists(carried))


@admin.register(User)
class UserAdmin(PublishedIdSearch, DjangoUserAdmin[User]):
    kind = "user"
    list_display = ("username", "email", "is_staff", "is_active", "date_joined", "published_id")
    csv_columns = ("pk", "published_id", "external_id", *list_display[:-1], "last_login")
    list_filter = (TrafficFilter, *DjangoUserAdmin.list_filter)
    search_fields = (*DjangoUserAdmin.search_fields, "external_id")
    readonly_fields = ("published_id", "last_login", "date_joined")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, *(() if request.user.is_superuser else POWERS))

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_govern(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_govern(request, obj)

    def get_urls(self) -> list[URLPattern]:
        start = self.admin_site.admin_view(self.view_as)
        return [path("<int:number>/view-as/", start, name="accounts_user_view_as"), *super().get_urls()]

    @method_decorator(require_POST)
    def view_as(self, request: HttpRequest, number: int) -> HttpResponse:
        """The dashboard as that customer sees it, for as long as the session or until it is stopped."""
        viewing.start(request, get_object_or_404(User, pk=number))
        return HttpResponseRedirect(DASHBOARD)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        customer: User | None = kwargs.get("obj")
        staff = request.user
        if customer is not None and isinstance(staff, User):
            context["may_be_viewed"] = viewing.may_view(staff, customer)
        return super().render_change_form(request, context, *args, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        return [*fieldsets, ("Published as", {"fields": ("published_id",)})] if obj else fieldsets


def _may_govern(request: HttpRequest, user: User | None) -> bool:
    """Only superusers change other staff: a password that one sets is a door that one can go through."""
    return user is None or request.user.is_superuser or user == request.user or not (user.is_staff or user.is_superuser)


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(Audited, DjangoGroupAdmin):
    """Looked at by those who may, changed by superusers: whoever is in a group could give it any permission."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return request.user.is_superuser


@admin.register(Product)
class ProductAdmin(Audited):
    list_display = ("name", "proxy_type", "network")
    list_filter = ("proxy_type", "network")
    search_fields = ("name",)
    ordering = ("name",)


@admin.register(ProxyUser)
class ProxyUserAdmin(Audited):
    list_display = ("login", "order", "user", "created_at")
    list_filter = ("order__product__network",)
    list_select_related = ("order__user",)
    search_fields = ("login", "order__name", "order__user__username")
    autocomplete_fields = ("order",)
    readonly_fields = ("created_at",)
    ordering = ("-pk",)

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

    @admin.action(description=_("Revoke selected API keys"), permissions=["change"])
    @confirmed(_("Programs that use these keys are refused from now on. A revoked key never works again."))
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


class ApplicationKeyInline(admin.TabularInline[ApplicationKey, Application]):
    model = ApplicationKey
    fields = readonly_fields = ("kind", "hint", "created_at", "ends_at")
    ordering = ("-pk",)
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NewApplicationForm(forms.ModelForm[Application]):
    """Refuses one application too many while the form can still say so."""

    def clean_user(self) -> User:
        user: User = self.cleaned_data["user"]
        if Application.objects.filter(user=user).count() >= applications.MAX_APPLICATIONS:
            raise forms.ValidationError(f"The user already has {applications.MAX_APPLICATIONS} applications.")
        return user


@admin.register(Application)
class ApplicationAdmin(PublishedIdSearch):
    """An application is not deleted: its events would belong to nothing."""

    kind = "application"
    list_display = ("name", "published_id", "user", "created_at")
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    autocomplete_fields = ("user",)
    ordering = ("-pk",)
    actions = ("rotate_keys", "end_keys")
    inlines = (ApplicationKeyInline,)

    def get_fields(self, request: HttpRequest, obj: Application | None = None) -> Any:
        return ("user", "name") if obj is None else ("published_id", "user", "name", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Application | None = None) -> Any:
        return () if obj is None else ("published_id", "user", "created_at")

    def get_form(
        self, request: HttpRequest, obj: Application | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        return super().get_form(request, obj, change, **({} if change else {"form": NewApplicationForm}), **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Application, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=["name"])
            return
        made, keys = applications.create(obj.user, obj.name, timezone.now())
        obj.pk = made.pk
        obj.refresh_from_db()
        self._tell(request, obj, keys)

    @admin.action(description=_("Exchange keys of selected applications"), permissions=["change"])
    @confirmed(_("Each gets a new pair of keys. The old ones go on working for a while, then they end."))
    def rotate_keys(self, request: HttpRequest, queryset: QuerySet[Application]) -> None:
        self._rotate(request, queryset, "Keys exchanged.", immediately=False)

    @admin.action(description=_("Exchange keys, and end the old ones at once"), permissions=["change"])
    @confirmed(_("Each gets a new pair of keys. Whoever uses the old ones is refused from now on."))
    def end_keys(self, request: HttpRequest, queryset: QuerySet[Application]) -> None:
        self._rotate(request, queryset, "Keys exchanged, the old ones ended at once.", immediately=True)

    def _rotate(self, request: HttpRequest, queryset: QuerySet[Application], done: str, *, immediately: bool) -> None:
        for application in queryset:
            keys = applications.rotate_keys(application, timezone.now(), immediately=immediately)
            self.log_change(request, application, done)
            self._tell(request, application, keys)

    def _tell(self, request: HttpRequest, application: Application, keys: applications.Keys) -> None:
        self.message_user(
            request,
            f"Copy the keys of {application} ({application.published_id}) now, they are not shown again: "
            f"write {keys.write}, read {keys.read}",
            messages.SUCCESS,
        )
