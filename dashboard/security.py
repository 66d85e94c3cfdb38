"""The customer's sessions and second factor, for the account page."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView

from accounts import factors, sessions, sign_in_policy
from accounts.sign_in import CodeForm, new_key
from dashboard.pages import PersonPage, ProvedPage, read_only_page


class EndSessionPage(PersonPage):
    """Ends one session of the customer. The session's hash identifies it; it cannot be used to sign in."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, name: str) -> HttpResponse:
        if not self.customer.sessions.filter(pk=name).delete()[0]:
            raise Http404
        return redirect("account")


class NewFactorPage(ProvedPage, PersonPage, TemplateView):
    http_method_names = ["get", "head", "post"]
    template_name = "accounts/second_factor.html"
    proved_methods = ("GET", "HEAD", "POST")  # the key on the page can generate codes

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated and self.viewed.is_by_staff:
            return read_only_page(request)
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        setup = factors.setup(self.customer, new_key(self.request))
        return super().get_context_data(**{"form": CodeForm(), **setup, **kwargs})

    def post(self, request: HttpRequest) -> HttpResponse:
        form = CodeForm(request.POST)
        now, key = timezone.now(), new_key(request)
        codes = factors.enrol(self.customer, key, form.cleaned_data["code"], now) if form.is_valid() else None
        if codes is None:
            form.add_error("code", _("Wrong code. Enter the six digits that the app shows now."))
            return self.render_to_response(self.get_context_data(form=form))
        request.session[sessions.FACTOR] = True
        return _show_codes(request, codes)


class RecoveryCodesPage(ProvedPage, PersonPage):
    """Replaces the recovery codes."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        if not factors.is_enrolled(self.customer):
            raise Http404
        return _show_codes(request, factors.renew_recovery_codes(self.customer))


class RemoveFactorPage(ProvedPage, PersonPage):
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        if sign_in_policy.needs_factor(self.customer):
            raise PermissionDenied
        factors.remove(self.customer)
        messages.success(request, gettext("Two-factor authentication is turned off."))
        return redirect("account")


def _show_codes(request: HttpRequest, codes: list[str]) -> HttpResponse:
    response = render(request, "accounts/recovery_codes.html", {"codes": codes, "onward": reverse("account")})
    response["Cache-Control"] = "no-store"
    return response
