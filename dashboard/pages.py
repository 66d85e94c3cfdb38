"""Base classes of the customer's pages: the account they show, and the orders to choose from."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext
from django.views.generic import TemplateView

from accounts import proof, viewing
from accounts.audit_trail import Actor, record
from accounts.models import AuditRecord, Role, User
from accounts.viewing import Viewed
from fonproxy.api.throttles import PageThrottle
from fonproxy.countries import CODES, name_of
from fonproxy.pages import Page, error_page
from orders import selectors
from orders.models import ProxyUser

MAX_CHOICES: Final = 500
COUNTRIES: Final = sorted(((code, name_of(code)) for code in CODES), key=lambda country: country[1])


class ReaderPage(Page):
    """Writes times, numbers and dates as the signed-in person has chosen; for staff, as the viewed customer has."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return super().dispatch(request, *args, **kwargs)
        reader = viewing.viewed(request).subject
        with timezone.override(reader.zone), translation.override(reader.language):
            return super().dispatch(request, *args, **kwargs)


class CustomerPage(LoginRequiredMixin, ReaderPage):
    """A page about the account that the session looks at; who is not signed in is asked to."""

    read_role: ClassVar[Role] = Role.VIEWER
    write_role: ClassVar[Role] = Role.MANAGER
    page_throttle = PageThrottle
    request: HttpRequest

    @property
    def viewed(self) -> Viewed:
        return viewing.viewed(self.request)

    @property
    def customer(self) -> User:
        return self.viewed.account

    def record(self, action: str, now: datetime) -> None:
        """Records a change of the account by the person in the audit trail; call it in the change's transaction."""
        record(action, AuditRecord.Kind.USER, self.customer.pk, actor=Actor(self.viewed.person.pk), now=now)

    def is_allowed(self) -> bool:
        """Whether the person's role in the account's team is sufficient."""
        return self.viewed.may(self.write_role if self.request.method == "POST" else self.read_role)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        request.account_id = request.user.pk  # type: ignore[attr-defined]  # the access log reads it
        if not request.user.is_authenticated:
            return super().dispatch(request, *args, **kwargs)
        if request.method == "POST" and self.viewed.is_by_staff:
            return read_only_page(request)
        if not self.is_allowed():
            return error_page(request, 403, gettext("Your role in this team does not allow this. Ask an owner."))
        return super().dispatch(request, *args, **kwargs)


def read_only_page(request: HttpRequest) -> HttpResponse:
    """The 403 for staff who try to change something while viewing as a customer."""
    return error_page(request, 403, gettext("You are viewing as a customer, which is read-only. Stop viewing first."))


class PersonPage(CustomerPage):
    """A page about the person's own sign-in, whichever account is shown; for staff, that of the viewed customer."""

    @property
    def customer(self) -> User:
        return self.viewed.subject

    def is_allowed(self) -> bool:
        return True


class ProvedPage(CustomerPage):
    """A page whose forms need a recent sign-in or confirmed password."""

    proved_methods: ClassVar[tuple[str, ...]] = ("POST",)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        needs_proof = request.method in self.proved_methods and request.user.is_authenticated
        if needs_proof and not proof.is_recent(proof.proved_at(request), timezone.now()):
            messages.info(request, gettext("Confirm your identity, then submit the form again."))
            return redirect(f"{reverse('confirm')}?{urlencode({'next': request.path})}")
        return super().dispatch(request, *args, **kwargs)


class OrdersPage(CustomerPage, TemplateView):
    """A page with a choice of orders; all its other data comes from the APIs."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        orders = selectors.orders_of(self.customer.pk)[:MAX_CHOICES]
        return super().get_context_data(orders=orders, **kwargs)


class LoginsPage(OrdersPage):
    """The same with a choice of proxy logins."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        logins = ProxyUser.objects.filter(order__user=self.customer).order_by("login").values_list("login", flat=True)
        return super().get_context_data(logins=logins[:MAX_CHOICES], **kwargs)
