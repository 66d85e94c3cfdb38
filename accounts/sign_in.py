"""Pages for signing in and out, the second factor and a forgotten password."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from django import forms
from django.contrib.auth import views
from django.contrib.auth.forms import AuthenticationForm, PasswordResetForm, SetPasswordForm
from django.contrib.auth.mixins import LoginRequiredMixin
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext_lazy as _
from django.views.generic import FormView
from kombu.exceptions import OperationalError as BrokerAway
from rest_framework.throttling import SimpleRateThrottle

from accounts import factors, proof, services, sign_in_policy, tasks
from accounts.models import User
from accounts.throttles import (
    FormNameThrottle,
    FormThrottle,
    PasswordResetThrottle,
    UserNameThrottle,
    UserThrottle,
    remember_origin,
)
from fonproxy.api.errors import Conflict
from fonproxy.pages import Page, error_page

PENDING: Final = "pending_factor"
NEW_KEY: Final = "new_authenticator"
PENDING_SECONDS: Final = 600


class ThrottledForm(Page):
    """A form through which passwords or addresses could be guessed, throttled like requests for a token."""

    http_method_names = ["get", "head", "post"]
    named_by: ClassVar[str]
    """The field that names the user."""

    def throttles(self) -> tuple[SimpleRateThrottle, ...]:
        return FormThrottle(self.named_by), FormNameThrottle(self.named_by)

    def post(self, request: HttpRequest, *args: str, **kwargs: Any) -> HttpResponse:
        refusing = [one for one in self.throttles() if not one.allow_request(request, self)]  # type: ignore[arg-type]  # uses only what any request has
        if not refusing:
            return super().post(request, *args, **kwargs)  # type: ignore[misc,no-any-return]  # of the view beside this base
        return _too_often(request, math.ceil(max(throttle.wait() or 60 for throttle in refusing)))


class SignInForm(AuthenticationForm):
    def get_invalid_login_error(self) -> forms.ValidationError:
        return forms.ValidationError(_("Wrong user name or password. Check both and try again."), code="invalid_login")


class SignInView(ThrottledForm, views.LoginView):
    named_by = "username"
    template_name = "accounts/sign_in.html"
    form_class = SignInForm
    redirect_authenticated_user = True

    def get_redirect_url(self) -> str:  # type: ignore[override]  # described as of a later Django
        """The requested page, unless it would only redirect back."""
        wanted: str = super().get_redirect_url()
        user = self.request.user
        leads_back = wanted.startswith(reverse("sign-in")) or (
            wanted.startswith(reverse("admin:index")) and user.is_authenticated and not user.is_staff
        )
        return "" if leads_back else wanted

    def get_default_redirect_url(self) -> str:
        user = self.request.user
        return reverse("admin:index") if user.is_staff else super().get_default_redirect_url()

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """The password is correct. Users who have or need a second factor continue without being signed in yet."""
        user = form.get_user()
        remember_origin(self.request, form.cleaned_data["username"])
        if sign_in_policy.needs_factor(user) or factors.is_enrolled(user):
            self.request.session[PENDING] = [user.pk, timezone.now().timestamp(), user.get_session_auth_hash()]
            wanted = self.request.POST.get(self.redirect_field_name, "")
            return redirect(f"{reverse('second-factor')}?{urlencode({'next': wanted})}")
        return super().form_valid(form)


class CodeForm(forms.Form):
    code = forms.CharField(
        label=_("Code"),
        max_length=40,
        help_text=_("Six digits from your authenticator app."),
        widget=forms.TextInput({"autocomplete": "one-time-code", "autofocus": True}),
    )


class SecondFactorView(Page, views.RedirectURLMixin, FormView[CodeForm]):
    """The second page of signing in: a code, or the setup of an authenticator for staff who have none yet."""

    http_method_names = ["get", "head", "post"]
    template_name = "accounts/second_factor.html"
    form_class = CodeForm
    request: HttpRequest

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.user = _pending(request)
        return super().dispatch(request, *args, **kwargs) if self.user else redirect("sign-in")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        assert self.user is not None
        setup = {} if factors.is_enrolled(self.user) else factors.setup(self.user, new_key(self.request))
        return super().get_context_data(**kwargs, **setup, is_required=True, next=self.get_redirect_url())

    def form_valid(self, form: CodeForm) -> HttpResponse:
        assert self.user is not None
        code, codes = form.cleaned_data["code"], None
        if factors.is_enrolled(self.user):
            is_right = factors.verify(self.user, code, timezone.now())
        else:
            codes = factors.enrol(self.user, new_key(self.request), code, timezone.now())
            is_right = codes is not None
        if not is_right:
            form.add_error(
                "code",
                _("Wrong code. Enter the code that the app shows now. After several wrong codes, wait a moment."),
            )
            return self.form_invalid(form)
        proof.sign_in(self.request, self.user, has_factor=True)
        onward = self.get_redirect_url() or (reverse("admin:index") if self.user.is_staff else reverse("overview"))
        if codes is None:
            return redirect(onward)
        return render(self.request, "accounts/recovery_codes.html", {"codes": codes, "onward": onward})


class ConfirmForm(forms.Form):
    """Password, and code of a user who has an authenticator."""

    password = forms.CharField(
        label=_("Password"), strip=False, widget=forms.PasswordInput({"autocomplete": "current-password"})
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        if factors.is_enrolled(user):
            self.fields["code"] = CodeForm().fields["code"]
            self.fields["code"].help_text = _("Six digits from your authenticator app, or a recovery code.")

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if not self.errors:
            is_right = self.user.check_password(given["password"])
            if not is_right or ("code" in self.fields and not factors.verify(self.user, given["code"], timezone.now())):
                raise forms.ValidationError(_("Wrong password or code. Try again."))
        return given


class ConfirmView(LoginRequiredMixin, ThrottledForm, views.RedirectURLMixin, FormView[ConfirmForm]):
    """Asks for the password again before keys, users, factors or addresses change."""

    template_name = "accounts/confirm.html"
    form_class = ConfirmForm
    next_page = "overview"

    def throttles(self) -> tuple[SimpleRateThrottle, ...]:
        return UserThrottle(), UserNameThrottle()

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": self.request.user}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, next=self.get_redirect_url())

    def form_valid(self, form: ConfirmForm) -> HttpResponse:
        proof.renew(self.request, timezone.now())
        return super().form_valid(form)


class SignOutView(Page, views.LogoutView):  # type: ignore[misc]  # its dispatch answers with one kind of response
    """Ends all sessions and tokens of the user, including those of other browsers and programs."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if isinstance(request.user, User):
            request.user.end_sign_ins()
        return super().post(request, *args, **kwargs)


class PasswordResetView(ThrottledForm, views.PasswordResetView):
    """Answers the same, and as fast, whether or not the address is known: a job looks it up and sends the mail."""

    named_by = "email"
    template_name = "accounts/password_reset.html"
    success_url = reverse_lazy("password-reset-sent")

    def throttles(self) -> tuple[SimpleRateThrottle, ...]:
        return *super().throttles(), PasswordResetThrottle(self.named_by)

    def form_valid(self, form: PasswordResetForm) -> HttpResponse:
        try:
            tasks.mail_password_reset.delay(form.cleaned_data["email"])
        except BrokerAway:
            return error_page(self.request, 503)
        return super(views.PasswordResetView, self).form_valid(form)


class PasswordResetSentView(Page, views.PasswordResetDoneView):
    template_name = "accounts/password_reset_sent.html"


class RevokingForm(SetPasswordForm):  # type: ignore[type-arg]  # generic for type checkers only
    """Sets a password, and revokes the API keys on request."""

    revoke_keys = forms.BooleanField(
        label=_("Also revoke my API keys"),
        required=False,
        help_text=_("Select this if someone else may know your password. Programs that use these keys stop working."),
    )

    def save(self, commit: bool = True) -> User:
        """Raises Conflict if another new password came first, which the old one or its link must not replace."""
        with transaction.atomic():
            if self.user.locked() is None:
                raise Conflict(str(_("The password was changed at the same moment. Try again with the new one.")))
            user: User = super().save(commit)
            if self.cleaned_data["revoke_keys"]:
                services.revoke_all_keys(user, timezone.now())
        return user


class NewPasswordView(Page, views.PasswordResetConfirmView):
    http_method_names = ["get", "head", "post"]
    template_name = "accounts/new_password.html"
    form_class = RevokingForm
    success_url = reverse_lazy("password-reset-done")

    def form_valid(self, form: SetPasswordForm[Any]) -> HttpResponse:
        try:
            return super().form_valid(form)
        except Conflict as refusal:
            form.add_error(None, str(refusal.detail))
            return self.form_invalid(form)


class NewPasswordDoneView(Page, views.PasswordResetCompleteView):
    template_name = "accounts/new_password_done.html"


def _pending(request: HttpRequest) -> User | None:
    """The user who entered the password a moment ago but no second factor yet; None after a change of password."""
    number, at, password = request.session.get(PENDING, (None, 0, ""))
    is_recent = timezone.now().timestamp() < at + PENDING_SECONDS
    user = User.objects.filter(pk=number, is_active=True).first() if is_recent else None
    return user if user and constant_time_compare(password, user.get_session_auth_hash()) else None


def new_key(request: HttpRequest) -> str:
    """The encrypted key of the authenticator that this session sets up; a new one after ten minutes."""
    sealed, at = request.session.get(NEW_KEY, ("", 0))
    now = timezone.now().timestamp()
    if now >= at + PENDING_SECONDS:
        sealed = factors.new_key()
        request.session[NEW_KEY] = [sealed, now]
    return str(sealed)


def _too_often(request: HttpRequest, seconds: int) -> HttpResponse:
    response = render(request, "accounts/too_often.html", {"seconds": seconds}, status=429)
    response["Retry-After"] = str(seconds)
    return response
