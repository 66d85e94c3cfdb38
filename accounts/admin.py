"""The admin of users, groups, API keys and applications."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from accounts import applications, audit_trail, notices, proof, services, viewing
from accounts.admin_base import SecretsAdmin, confirmed, secrets_page
from accounts.audit import AuditedAdmin, PublishedIdAdmin, ReadOnlyAdmin
from accounts.audit_trail import ACTIVATED, DEACTIVATED, Actor
from accounts.models import ApiKey, Application, ApplicationKey, AuditRecord, Scope, User
from accounts.notices import Notice
from accounts.powers import GRANT_STAFF_SCOPES
from fonproxy.mail_addresses import validate_address

DASHBOARD = "/dashboard"
# Fields with which a member of staff could grant themselves any permission.
SCOPES = tuple(scope.column for scope in Scope)
POWERS = ("is_staff", "is_superuser", "groups", "user_permissions")


class ProvedAdmin(AuditedAdmin):
    """Requires a recent proof of identity before a change."""

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        return ask_for_proof(request) or super().changeform_view(request, object_id, form_url, extra_context)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        asked = ask_for_proof(request) if request.method == "POST" else None
        return asked or super().changelist_view(request, extra_context)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        return ask_for_proof(request) or super().delete_view(request, object_id, extra_context)


def ask_for_proof(request: HttpRequest) -> HttpResponse | None:
    if proof.is_recent(proof.proved_at(request), timezone.now()):
        return None
    return HttpResponseRedirect(f"{reverse('confirm')}?{urlencode({'next': request.path})}")


class UserForm(UserChangeForm[User]):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A form that was opened before another member of staff stopped the customer must not reactivate the account by
        # accident.
        name = "is_active"
        if name in self.fields and (not self.is_bound or self.add_initial_prefix(name) in self.data):
            self.fields[name].show_hidden_initial = True

    def clean_email(self) -> Any:
        if email := self.cleaned_data["email"]:
            validate_address(email)
        return email


@admin.register(User)
class UserAdmin(ProvedAdmin, PublishedIdAdmin, DjangoUserAdmin[User]):
    kind = "user"
    form = UserForm
    list_display = ("username", "email", "is_staff", "is_active", "date_joined", "published_id")
    csv_columns = ("pk", "published_id", "external_id", *list_display[:-1], "last_login")
    list_filter = DjangoUserAdmin.list_filter
    search_fields = (*DjangoUserAdmin.search_fields, "external_id")
    readonly_fields = ("published_id", "last_login", "date_joined")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, *(() if request.user.is_superuser else POWERS))

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_govern(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_govern(request, obj)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        return ask_for_proof(request) or super().user_change_password(request, id, form_url)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if change:
            stored = User.objects.select_for_update().get(pk=obj.pk)
            if "is_active" not in form.changed_data:
                obj.is_active = stored.is_active
            if obj.is_active != stored.is_active:
                action = ACTIVATED if obj.is_active else DEACTIVATED
                actor = Actor(request.user.pk)
                audit_trail.record(action, AuditRecord.Kind.USER, obj.pk, actor=actor, now=timezone.now())
        super().save_model(request, obj, form, change)
        if change and "email" in form.changed_data:
            notices.send(Notice.NEW_ADDRESS, obj, form.initial["email"])
        if change and {"is_staff", "is_superuser"} & set(form.changed_data):
            obj.end_sign_ins()

    def get_urls(self) -> list[URLPattern]:
        start = self.admin_site.admin_view(self.view_as)
        return [path("<int:number>/view-as/", start, name="accounts_user_view_as"), *super().get_urls()]

    @method_decorator(require_POST)
    def view_as(self, request: HttpRequest, number: int) -> HttpResponse:
        """Shows the dashboard as that customer sees it, until the session ends or viewing is stopped."""
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
    """Only superusers may change other staff, because setting a password allows signing in as its owner."""
    return user is None or request.user.is_superuser or user == request.user or not user.has_powers


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(ProvedAdmin, DjangoGroupAdmin):
    """Only superusers change groups: a member of a group could otherwise give it any permission."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return request.user.is_superuser


class GovernedAdmin(ProvedAdmin, PublishedIdAdmin):
    """A model that belongs to a user. Changing a row requires the right to change that user."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "user" and field is not None and not request.user.is_superuser:
            governed = Q(is_staff=False, is_superuser=False) | Q(pk=request.user.pk)
            field.queryset = User.objects.filter(governed)
        return field

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _may_govern(request, obj and obj.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_govern(request, obj and obj.user)

    def governed(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """The rows that the request may change; raises PermissionDenied if it includes any other."""
        rows = list(queryset.select_related("user"))
        if not all(self.has_change_permission(request, row) for row in rows):
            raise PermissionDenied
        return rows


class NewKeyForm(forms.ModelForm[ApiKey]):
    """Reports a key beyond the limit as a form error."""

    def clean_user(self) -> User:
        user: User = self.cleaned_data["user"]
        if services.active_keys(user, timezone.now()) >= services.MAX_ACTIVE_KEYS:
            raise forms.ValidationError(f"The user already holds {services.MAX_ACTIVE_KEYS} active keys.")
        return user


@admin.register(ApiKey)
class ApiKeyAdmin(SecretsAdmin, GovernedAdmin):
    kind = "key"
    list_display = ("prefix", "name", "user", "granted", "last_access_at", "state")
    list_filter = (*SCOPES, ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__username")
    autocomplete_fields = ("user",)
    ordering = ("-pk",)
    actions = ("revoke",)
    granted_fields = ("name", *SCOPES, "expires_at")
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
        for key in self.governed(request, keys):
            services.revoke_key(key, now)
            self.log_change(request, key, "Revoked.")
        self.message_user(request, "The selected keys are revoked.", messages.SUCCESS)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return ("user", *self.granted_fields) if obj is None else (*self.told_fields, *self.granted_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """Only staff who may add keys change scopes; others could give their own key any scope."""
        if obj is None:
            return ()
        return self.told_fields if request.user.has_perm(GRANT_STAFF_SCOPES) else (*self.told_fields, *SCOPES)

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
        obj.new_secrets = [("Key", secret)]  # type: ignore[attr-defined]


@admin.register(AuditRecord)
class AuditRecordAdmin(ReadOnlyAdmin):
    list_display: tuple[str, ...] = ("at", "action", "kind", "number", "actor", "key")
    csv_columns = ("at", "action", "kind", "number", "actor_id", "actor", "key_id", "key")
    list_display_links = None
    list_filter = ("kind", "action", "at")
    search_fields = ("number",)
    search_help_text = "The number of a user, an order or a webhook"
    ordering = ("-pk",)
    actions = None

    def prepare(self, rows: list[Any]) -> None:
        authors = audit_trail.authors_of(rows)
        for row in rows:
            row.author = authors[row.pk]

    @admin.display(description=_("by"), ordering="actor_id")
    def actor(self, row: Any) -> str:
        return str(row.author.user)

    @admin.display(description=_("with the API key"), ordering="key_id")
    def key(self, row: Any) -> str:
        return str(row.author.key)


class ApplicationKeyInline(admin.TabularInline[ApplicationKey, Application]):
    model = ApplicationKey
    fields = readonly_fields = ("kind", "hint", "created_at", "ends_at")
    ordering = ("-pk",)
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NewApplicationForm(forms.ModelForm[Application]):
    """Reports an application beyond the limit as a form error."""

    def clean_user(self) -> User:
        user: User = self.cleaned_data["user"]
        if Application.objects.filter(user=user).count() >= applications.MAX_APPLICATIONS:
            raise forms.ValidationError(f"The user already has {applications.MAX_APPLICATIONS} applications.")
        return user


@admin.register(Application)
class ApplicationAdmin(SecretsAdmin, GovernedAdmin):
    """Applications cannot be deleted, because their events refer to them."""

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
        obj.new_secrets = _named(obj, keys)  # type: ignore[attr-defined]

    @admin.action(description=_("Exchange keys of selected applications"), permissions=["change"])
    @confirmed(_("Each application gets a new pair of keys. The old keys keep working for a while, then they expire."))
    def rotate_keys(self, request: HttpRequest, queryset: QuerySet[Application]) -> HttpResponse:
        return self._rotate(request, queryset, "Keys exchanged.", immediately=False)

    @admin.action(description=_("Exchange keys, and end the old ones at once"), permissions=["change"])
    @confirmed(_("Each application gets a new pair of keys. The old keys are refused from now on."))
    def end_keys(self, request: HttpRequest, queryset: QuerySet[Application]) -> HttpResponse:
        return self._rotate(request, queryset, "Keys exchanged, the old ones ended at once.", immediately=True)

    def _rotate(
        self, request: HttpRequest, queryset: QuerySet[Application], done: str, *, immediately: bool
    ) -> HttpResponse:
        secrets: list[tuple[str, str]] = []
        for application in self.governed(request, queryset):
            keys = applications.rotate_keys(application, timezone.now(), immediately=immediately)
            self.log_change(request, application, done)
            secrets += _named(application, keys)
        return secrets_page(request, "Keys exchanged", done, secrets, self._list_url())


def _named(application: Application, keys: applications.Keys) -> list[tuple[str, str]]:
    name = f"{application} ({application.published_id})"
    return [(f"{name}, write key", keys.write), (f"{name}, read key", keys.read)]
