"""The customer's API keys: what there is, a new one, one in place of another, the end of one."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView
from rest_framework.exceptions import NotFound
from rest_framework.serializers import Serializer

from accounts import selectors, services
from accounts.models import ApiKey, Role, Scope, User
from accounts.powers import grantable
from accounts.serializers import NewKeySerializer
from dashboard.forms import BodyForm, FormPage, show_once
from dashboard.pages import CustomerPage, ProvedPage
from dashboard.rotation import RotationForm

SCOPE_LABELS: Final = {
    Scope.READ: _("read your usage"),
    Scope.WRITE: _("change your alerts and proxy users"),
    Scope.INGEST: _("push traffic"),
    Scope.GATEWAY: _("authorize proxy logins"),
    Scope.PROVISION: _("manage customers and orders"),
    Scope.METRICS: _("read metrics"),
}


class KeyForm(BodyForm):
    """Offers the scopes that the user may grant."""

    name = forms.CharField(label=_("Name"), help_text=_("For example the program that uses it."))
    expiresAt = forms.CharField(
        label=_("Expires"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("The key stops working at the end of this day (UTC). Leave empty for no expiry."),
    )

    scopes = forms.MultipleChoiceField(
        label=_("Permissions"),
        initial=[Scope.READ.value],
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Clients of the WeProxies API need to read your usage and to change your alerts."),
    )

    def __init__(self, data: Any, user: User) -> None:
        super().__init__(data)
        may_grant = grantable(user)
        offered = [(scope.value, label) for scope, label in SCOPE_LABELS.items() if scope in may_grant]
        self.fields["scopes"].choices = offered  # type: ignore[attr-defined]  # a field with choices

    def body(self, cleaned: dict[str, Any]) -> Serializer[Any]:
        return NewKeySerializer(
            data={name: value for name, value in cleaned.items() if value}, context={"now": timezone.now()}
        )


class KeysPage(ProvedPage, FormPage):
    template_name = "dashboard/keys.html"
    read_role = write_role = Role.OWNER

    def form(self, data: Any = None) -> BodyForm:
        return KeyForm(data, self.customer)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        now = timezone.now()
        keys = [(key, _state(key, now), _may_rotate(key, self.customer)) for key in selectors.keys_of(self.customer.pk)]
        return super().get_context_data(keys=keys, **kwargs)

    def save(self, form: BodyForm) -> HttpResponseBase:
        name, scopes, expires_at = (form.given[field] for field in ("name", "scopes", "expiresAt"))
        now = timezone.now()
        with transaction.atomic():
            key, secret = services.issue_key(
                user=self.customer, name=name, scopes=scopes, expires_at=expires_at, now=now
            )
            self.record("api key issued", now)
        return _show_secret(self.request, gettext("Key “%s” created") % key.name, secret)


def _show_secret(request: HttpRequest, heading: str, secret: str) -> HttpResponseBase:
    return show_once(request, heading, _("Send it in the x-api-key header."), [(_("API key"), secret)], reverse("keys"))


def _state(key: ApiKey, now: Any) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "active" if key.is_active(now) else "expired"


def _may_rotate(key: ApiKey, user: User) -> bool:
    """Not what staff have granted: the new key would have it too."""
    return grantable(user).issuperset(key.scopes)


class RotateKeyPage(ProvedPage, FormPage):
    template_name = "dashboard/confirm.html"
    read_role = write_role = Role.OWNER

    def key(self) -> ApiKey:
        """Raises NotFound, also for a key that only staff replace."""
        key = selectors.find_key(self.customer.pk, self.kwargs["id"])
        if not _may_rotate(key, self.customer):
            raise NotFound
        return key

    def form(self, data: Any = None) -> BodyForm:
        return RotationForm(data)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            heading=gettext("Rotate the key “%s”?") % self.key().name,
            lead=_("You get a new key with the same name, permissions and expiry."),
            button=_("Rotate key"),
            back=reverse("keys"),
            **kwargs,
        )

    def save(self, form: BodyForm) -> HttpResponseBase:
        now = timezone.now()
        with transaction.atomic():
            key, secret = services.rotate_key(self.key(), now, **form.given)
            self.record("api key rotated", now)
        return _show_secret(self.request, gettext("New key “%s”") % key.name, secret)


class RevokeKeyPage(CustomerPage, TemplateView):
    http_method_names = ["get", "head", "post"]
    read_role = write_role = Role.OWNER
    template_name = "dashboard/confirm.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        key = selectors.find_key(self.customer.pk, kwargs["id"])
        return super().get_context_data(
            heading=gettext("Revoke the key “%s”?") % key.name,
            lead=_("Programs that use this key stop working immediately. This cannot be undone."),
            button=_("Revoke key"),
            back=reverse("keys"),
            **kwargs,
        )

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        now, key = timezone.now(), selectors.find_key(self.customer.pk, id)
        with transaction.atomic():
            if services.revoke_key(key, now):
                self.record("api key revoked", now)
        messages.success(request, gettext("Key “%s” revoked.") % key.name)
        return redirect("keys")
