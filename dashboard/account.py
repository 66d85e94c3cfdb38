"""The customer's account: name and time zone, address, password, sessions, second factor, mails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.generic import FormView, TemplateView
from rest_framework.exceptions import NotFound
from rest_framework.throttling import SimpleRateThrottle

from accounts import email_change, factors, sessions, sign_in_policy
from accounts.models import User
from accounts.sign_in import RevokingForm, ThrottledForm
from accounts.throttles import EmailChangeThrottle, UserNameThrottle, UserThrottle
from dashboard.browsers import browser_name
from dashboard.pages import PersonPage, ProvedPage
from fonproxy.api.errors import Conflict
from fonproxy.formats import DEFAULT, LOCALES
from fonproxy.mail_addresses import validate_address
from fonproxy.timerange import zone_choices
from fonproxy.units import localised
from orders import selectors
from usage.models import ReportSubscription, Unsubscription
from usage.reports import services as report_services
from usage.reports.services import Frequency

DEVICE: Final = _("Same as this browser")
EXAMPLE: Final = ("1234.5", date(2026, 12, 31))


def _zones() -> Iterator[tuple[str, Any]]:
    yield "", DEVICE
    yield from zone_choices()


def _locales() -> Iterator[tuple[str, str]]:
    """Each with an example of what it does; the default has the empty value."""
    number, day = EXAMPLE
    for code, name in LOCALES.items():
        with translation.override(code):
            example = f"{localised(number)} · {date_format(day)}"
        yield "" if code == DEFAULT else code, f"{example} ({name})"


class ProfileForm(forms.ModelForm[User]):
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        choices=_zones,
        required=False,
        help_text=_("Used on all pages and in e-mails. Without a choice, e-mails use UTC."),
    )

    locale = forms.ChoiceField(
        label=_("Numbers and dates"),
        choices=_locales,
        required=False,
        help_text=_("How all pages, charts and e-mails write them."),
    )

    class Meta:
        model = User
        fields = ("first_name", "last_name", "time_zone", "locale")


class AccountPage(PersonPage, FormView[ProfileForm]):
    http_method_names = ["get", "head", "post"]
    template_name = "dashboard/account.html"
    form_class = ProfileForm
    success_url = reverse_lazy("account")

    def get_form_kwargs(self) -> dict[str, Any]:
        # A separate instance, so that input of a refused form does not appear as the account's name.
        return super().get_form_kwargs() | {"instance": User.objects.get(pk=self.customer.pk)}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        now = timezone.now()
        current = sessions.hashed(self.request.session.session_key or "")
        alive = self.customer.sessions.filter(expire_date__gt=now).order_by("-seen_at")
        return super().get_context_data(
            sessions=[(session, browser_name(session.user_agent), session.pk == current) for session in alive],
            is_enrolled=factors.is_enrolled(self.customer),
            is_needed=sign_in_policy.needs_factor(self.customer),
            pending=email_change.pending(self.customer, now),
            unsubscribed=_unsubscribed(self.customer),
            report_choices=Frequency.choices,
            report_every=ReportSubscription.objects.filter(user=self.customer).values_list("every", flat=True).first(),
            **kwargs,
        )

    def form_valid(self, form: ProfileForm) -> HttpResponse:
        form.instance.save(update_fields=list(ProfileForm.Meta.fields))
        messages.success(self.request, gettext("Profile saved."))
        return redirect("account")


def _unsubscribed(user: User) -> Any:
    """The user's orders whose alerts their own address has unsubscribed from."""
    left = Unsubscription.objects.filter(address=user.email.lower()).values("order_id")
    return selectors.orders_of(user.pk).filter(pk__in=left)


class ResumeMailsPage(PersonPage):
    """Resumes the alert mails of one order to the customer's own address."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        try:
            order = selectors.find_order(self.customer.pk, id)
        except NotFound:
            raise Http404 from None
        Unsubscription.objects.filter(order=order, address=self.customer.email.lower()).delete()
        messages.success(request, gettext("You receive alerts for “%s” again.") % order.name)
        return redirect("account")


class ReportPage(PersonPage):
    """Sets how often the customer receives reports; the form is on the account page."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        every = request.POST.get("every")
        report_services.subscribe(self.customer, every if every in Frequency.values else None, timezone.now())
        messages.success(request, gettext("Saved."))
        return redirect("account")


class EmailForm(forms.Form):
    address = forms.EmailField(
        label=_("New e-mail address"), max_length=254, widget=forms.EmailInput({"autocomplete": "email"})
    )

    def __init__(self, *args: Any, current: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.current = current

    def clean_address(self) -> str:
        address: str = self.cleaned_data["address"]
        validate_address(address)
        if address == self.current:
            raise forms.ValidationError(_("This is your current address."))
        return address


class EmailPage(ProvedPage, PersonPage, FormView[EmailForm]):
    http_method_names = ["get", "head", "post"]
    template_name = "dashboard/account_form.html"
    form_class = EmailForm
    proved_methods = ("GET", "HEAD", "POST")
    extra_context = {
        "heading": _("Change e-mail address"),
        "lead": _("We'll send a confirmation link to the new address. Nothing changes until you open it."),
        "button": _("Send confirmation link"),
    }

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "current": self.customer.email}

    def form_valid(self, form: EmailForm) -> HttpResponse:
        if not EmailChangeThrottle().allow_request(self.request, self):  # type: ignore[arg-type]  # reads the user alone
            form.add_error(None, _("You can ask for five confirmation links an hour. Try again later."))
            return self.form_invalid(form)
        email_change.request(self.customer, form.cleaned_data["address"], timezone.now())
        messages.success(self.request, gettext("Check your inbox: we've sent a confirmation link to the new address."))
        return redirect("account")


class CancelEmailPage(PersonPage):
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        email_change.cancel(self.customer)
        return redirect("account")


class ConfirmEmailPage(PersonPage, TemplateView):
    """The page of the mailed link.

    Nothing changes until its button is pressed, because mail scanners open links too.
    """

    http_method_names = ["get", "head", "post"]
    template_name = "dashboard/confirm_email.html"

    def get(self, request: HttpRequest, *args: Any, token: str, **kwargs: Any) -> HttpResponse:
        change = email_change.find(self.customer, token, timezone.now())
        context = self.get_context_data(change=change)
        return self.render_to_response(context, status=200 if change else 404)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        if not email_change.confirm(self.customer, token, timezone.now()):
            return self.render_to_response(self.get_context_data(change=None), status=404)
        messages.success(request, gettext("E-mail address changed."))
        return redirect("account")


class PasswordForm(RevokingForm, PasswordChangeForm):
    field_order = ["old_password", "new_password1", "new_password2", "revoke_keys"]


class PasswordPage(PersonPage, ThrottledForm, FormView[PasswordForm]):
    """Asks for the current password. Ends all other sessions, and all tokens."""

    template_name = "dashboard/account_form.html"
    form_class = PasswordForm
    extra_context = {
        "heading": _("Change password"),
        "lead": _("You stay signed in here. All other sessions and all access tokens end."),
        "button": _("Change password"),
    }

    def throttles(self) -> tuple[SimpleRateThrottle, ...]:
        return UserThrottle(), UserNameThrottle()

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": self.customer}

    def form_valid(self, form: PasswordForm) -> HttpResponse:
        try:
            user = form.save()
        except Conflict as refusal:
            form.add_error(None, str(refusal.detail))
            return self.form_invalid(form)
        update_session_auth_hash(self.request, user)
        messages.success(self.request, gettext("Password changed."))
        return redirect("account")
