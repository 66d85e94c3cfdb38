"""*New customer*: account, order, proxy login and welcome mail in one form."""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.validators import RegexValidator
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods
from rest_framework.exceptions import APIException

from accounts import password_links, proof
from accounts.admin_base import secrets_page
from accounts.models import User
from console.navigation import NEW_CUSTOMER
from console.pages import page, require
from fonproxy.mail_addresses import validate_address
from orders import passwords
from orders import services as order_services
from orders.models import Order, Product, ProxyUser, without_control_characters
from orders.provisioning.serializers import PRINTABLE
from orders.selectors import LOGIN_LENGTH
from orders.size_field import GigabytesField

ADD_LOGIN: Final = "orders.add_proxyuser"

_is_external_id: Final = RegexValidator(
    f"^(?:{PRINTABLE.pattern})$", gettext_lazy("Use 1 to 128 printable ASCII characters without spaces.")
)


class NewCustomer(NamedTuple):
    """``password`` is that of the proxy login, if there is one; it is not stored in readable form."""

    user: User
    order: Order
    password: str | None


class NewCustomerForm(forms.Form):
    required_css_class = "required"
    username = forms.CharField(
        label=gettext_lazy("User name"),
        max_length=150,
        validators=[UnicodeUsernameValidator()],
        widget=forms.TextInput(attrs={"autofocus": True}),
    )
    email = forms.EmailField(label=gettext_lazy("E-mail address"), max_length=254)
    external_id = forms.CharField(
        label=gettext_lazy("External id"),
        required=False,
        validators=[_is_external_id],
        help_text=gettext_lazy("The id under which a billing system knows the customer, if there is one."),
    )
    product = forms.ModelChoiceField(Product.objects.order_by("name"), label=gettext_lazy("Product"))
    size = GigabytesField(label=gettext_lazy("Traffic limit, in GB"))
    expires_at = forms.DateTimeField(
        label=gettext_lazy("Ends, in UTC"),
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text=gettext_lazy("Empty: never."),
    )
    login = forms.CharField(
        label=gettext_lazy("Proxy login"),
        required=False,
        max_length=LOGIN_LENGTH,
        validators=[without_control_characters],
        help_text=gettext_lazy("Gets a generated password, which the next page shows once. Empty: no login yet."),
    )
    welcome = forms.BooleanField(
        label=gettext_lazy("Send a welcome mail"),
        required=False,
        initial=True,
        help_text=gettext_lazy("With the user name and a link to set the password, which works for three days."),
    )

    def __init__(self, *args: Any, may_add_login: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not may_add_login:
            del self.fields["login"]

    def clean_username(self) -> Any:
        name = User.normalize_username(self.cleaned_data["username"])
        return _unused(name, User.objects.filter(username=name).exists())

    def clean_email(self) -> Any:
        validate_address(self.cleaned_data["email"])
        return self.cleaned_data["email"]

    def clean_external_id(self) -> Any:
        found: str | None = self.cleaned_data["external_id"] or None
        return _unused(found, found is not None and User.objects.filter(external_id=found).exists())

    def clean_login(self) -> Any:
        login: str = self.cleaned_data["login"]
        return _unused(login, ProxyUser.objects.filter(login=login).exists())

    def clean_expires_at(self) -> Any:
        ends = self.cleaned_data["expires_at"]
        if ends is not None and ends <= timezone.now():
            raise forms.ValidationError(_("Must be in the future."))
        return ends

    def save(self, author: str) -> NewCustomer:
        """Creates everything or nothing. Raises Conflict or IntegrityError when a name was taken concurrently."""
        given, now = self.cleaned_data, timezone.now()
        login = given.get("login")
        password = passwords.generate() if login else None
        verifier = (
            passwords.verifier_of(password) if password else ""
        )  # hashing takes time, so it happens outside of the transaction
        with transaction.atomic():
            user = User(username=given["username"], email=given["email"], external_id=given["external_id"])
            user.set_unusable_password()
            user.save(force_insert=True)
            order = order_services.buy(
                user=user,
                product=given["product"],
                name=given["product"].name,
                limit_bytes=given["size"],
                started_at=now,
                expires_at=given["expires_at"],
                author=author,
                now=now,
            )
            if login:
                order_services.set_logins(order, {login: {"verifier": verifier}}, now)
            if given["welcome"]:
                password_links.mail_welcome(user, now)
        return NewCustomer(user, order, password)


def _unused(value: Any, is_used: bool) -> Any:
    if is_used:
        raise forms.ValidationError(_("Already in use."))
    return value


@sensitive_variables()
@require_http_methods(["GET", "HEAD", "POST"])
def new_customer(request: HttpRequest) -> HttpResponse:
    """The form; like adding a user it requires a recent proof of identity."""
    require(request, *NEW_CUSTOMER)
    if not proof.is_recent(proof.proved_at(request), timezone.now()):
        return HttpResponseRedirect(f"{reverse('confirm')}?{urlencode({'next': request.path})}")
    posted = request.POST if request.method == "POST" else None
    form = NewCustomerForm(posted, may_add_login=request.user.has_perm(ADD_LOGIN))
    if form.is_valid():
        try:
            with transaction.atomic():
                made = form.save(request.user.get_username())
                _log(request, made)
        except IntegrityError:
            form.add_error(None, _("The user name, external id or login has just been taken. Try again."))
        except APIException as refusal:
            form.add_error(None, str(refusal.detail))
        else:
            _add_messages(request, made, form)
            next_page = _page_of(request, made)
            if made.password:
                lead = _("Proxy login %(login)s") % {"login": form.cleaned_data["login"]}
                return secrets_page(request, _("New customer"), lead, [(_("Password"), made.password)], next_page)
            return HttpResponseRedirect(next_page)
    return page(request, "new_customer", _("New customer"), form=form)


def _page_of(request: HttpRequest, made: NewCustomer) -> str:
    """The customer's page, or the order's for users who may not view customers."""
    if request.user.has_perm("accounts.view_user"):
        return reverse("admin:console_customer", args=[made.user.pk])
    return reverse("admin:orders_order_change", args=[made.order.pk])


def _log(request: HttpRequest, made: NewCustomer) -> None:
    for row in (made.user, made.order):
        admin.site.get_model_admin(type(row)).log_addition(request, row, _("Added as a new customer."))


def _add_messages(request: HttpRequest, made: NewCustomer, form: NewCustomerForm) -> None:
    messages.success(request, _("The customer %(name)s and an order were added.") % {"name": made.user.username})
    if form.cleaned_data["welcome"]:
        messages.success(request, _("A welcome mail will be sent to %(address)s.") % {"address": made.user.email})
