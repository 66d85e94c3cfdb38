"""The customer's API keys: what there is, a new one, the end of one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView
from rest_framework.serializers import Serializer

from accounts import selectors, services
from accounts.models import ApiKey, Scope
from accounts.serializers import NewKeySerializer
from usage.dashboard.forms import BodyForm, FormPage, show_once
from usage.dashboard.pages import CustomerPage


class KeyForm(BodyForm):
    name = forms.CharField(label=_("Name"), help_text=_("What will use it, so that you know it again."))
    expiresAt = forms.CharField(
        label=_("Works until"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("The whole of that day, in UTC. Empty: until you revoke it."),
    )

    def body(self, cleaned: dict[str, Any]) -> Serializer[Any]:
        return NewKeySerializer(
            data={name: value for name, value in cleaned.items() if value}, context={"now": timezone.now()}
        )


class StaffKeyForm(KeyForm):
    """Only staff may grant ``ingest``: nobody else's form has the choice."""

    scopes = forms.MultipleChoiceField(
        label=_("May"),
        choices=Scope.choices,
        initial=[Scope.READ.value],
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Only staff can let a key push traffic."),
    )


class KeysPage(FormPage):
    template_name = "dashboard/keys.html"

    def form(self, data: Any = None) -> BodyForm:
        return StaffKeyForm(data) if self.customer.is_staff else KeyForm(data)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        now = timezone.now()
        keys = [(key, _state(key, now)) for key in selectors.keys_of(self.customer.pk)]
        return super().get_context_data(keys=keys, **kwargs)

    def save(self, form: BodyForm) -> HttpResponseBase:
        name, scopes, expires_at = (form.given[field] for field in ("name", "scopes", "expiresAt"))
        key, secret = services.issue_key(
            user=self.customer, name=name, scopes=scopes, expires_at=expires_at, now=timezone.now()
        )
        return show_once(
            self.request,
            gettext("The key “%s” is made") % key.name,
            _("Send it as the header x-api-key."),
            [(_("API key"), secret)],
            reverse("keys"),
        )


def _state(key: ApiKey, now: Any) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "active" if key.is_active(now) else "expired"


class RevokeKeyPage(CustomerPage, TemplateView):
    http_method_names = ["get", "head", "post"]
    template_name = "dashboard/confirm.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        key = selectors.find_key(self.customer.pk, kwargs["id"])
        return super().get_context_data(
            heading=gettext("Revoke the key “%s”?") % key.name,
            lead=_("Whatever uses it is refused from that moment on. This cannot be undone."),
            button=_("Revoke it"),
            back=reverse("keys"),
            **kwargs,
        )

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        key = selectors.find_key(self.customer.pk, id)
        services.revoke_key(key, timezone.now())
        messages.success(request, gettext("The key “%s” is revoked.") % key.name)
        return redirect("keys")
