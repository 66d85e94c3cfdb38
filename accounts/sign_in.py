"""How a person gets in and out of the pages: sign-in, sign-out, a forgotten password."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from django.contrib.auth import views
from django.contrib.auth.forms import PasswordResetForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse, reverse_lazy
from kombu.exceptions import OperationalError as BrokerAway

from accounts import tasks
from accounts.throttles import FormThrottle
from fonproxy.api.throttles import PublicThrottle
from fonproxy.pages import Page, error_page


class Tried(Page):
    """A form by which passwords or addresses could be guessed: as often as a token may be asked for."""

    named_by: ClassVar[str]
    """The field that says whose."""

    def post(self, request: HttpRequest, *args: str, **kwargs: Any) -> HttpResponse:
        throttles = (PublicThrottle(), FormThrottle(self.named_by))
        refusing = [one for one in throttles if not one.allow_request(request, self)]  # type: ignore[arg-type]  # reads no more than any request has
        if not refusing:
            return super().post(request, *args, **kwargs)  # type: ignore[misc,no-any-return]  # of the view beside this base
        seconds = math.ceil(max(throttle.wait() or 60 for throttle in refusing))
        response = render(request, "accounts/too_often.html", {"seconds": seconds}, status=429)
        response["Retry-After"] = str(seconds)
        return response


class SignInView(Tried, views.LoginView):
    named_by = "username"
    http_method_names = ["get", "head", "post"]
    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True

    def get_redirect_url(self) -> str:  # type: ignore[override]  # described as of a later Django
        """Where they wanted to go, but for where they would be sent back from."""
        wanted: str = super().get_redirect_url()
        user = self.request.user
        leads_back = wanted.startswith(reverse("sign-in")) or (
            wanted.startswith(reverse("admin:index")) and user.is_authenticated and not user.is_staff
        )
        return "" if leads_back else wanted

    def get_default_redirect_url(self) -> str:
        user = self.request.user
        return str(reverse_lazy("admin:index")) if user.is_staff else super().get_default_redirect_url()


class SignOutView(Page, views.LogoutView):  # type: ignore[misc]  # its dispatch answers with one kind of response
    http_method_names = ["post"]


class PasswordResetView(Tried, views.PasswordResetView):
    """Answers the same at the same speed whether or not anybody has the address: a job looks it up and mails."""

    named_by = "email"
    http_method_names = ["get", "head", "post"]
    template_name = "accounts/password_reset.html"
    success_url = reverse_lazy("password-reset-sent")

    def form_valid(self, form: PasswordResetForm) -> HttpResponse:
        try:
            tasks.mail_password_reset.delay(form.cleaned_data["email"])
        except BrokerAway:
            return error_page(self.request, 503)
        return super(views.PasswordResetView, self).form_valid(form)


class PasswordResetSentView(Page, views.PasswordResetDoneView):
    http_method_names = ["get", "head"]
    template_name = "accounts/password_reset_sent.html"


class NewPasswordView(Page, views.PasswordResetConfirmView):
    http_method_names = ["get", "head", "post"]
    template_name = "accounts/new_password.html"
    success_url = reverse_lazy("password-reset-done")


class NewPasswordDoneView(Page, views.PasswordResetCompleteView):
    http_method_names = ["get", "head"]
    template_name = "accounts/new_password_done.html"
