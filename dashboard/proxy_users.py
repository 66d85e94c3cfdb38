"""The customer's proxy users: usage, limits, allowed addresses and new passwords."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
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
from rest_framework.serializers import Serializer

from accounts.models import Role
from dashboard.forms import BodyForm, FormPage, show_once
from dashboard.pages import CustomerPage
from fonproxy.clickhouse.errors import EngineUnavailable
from fonproxy.units import GIB, amount
from orders import proxy_users, selectors, traffic
from orders.limits import FOREVER, Used
from orders.models import MAX_LIMIT_BYTES, ProxyUser
from orders.serializers import ProxyUserPatch
from orders.size_field import GigabytesField

MAX_SHOWN: Final = 500
PERIODS: Final = (_("Today"), _("This month"), _("In total"))


@dataclass(frozen=True, slots=True)
class Amount:
    """Usage and limit of a day, a month or in total, as texts; ``used`` is None if it cannot be read."""

    used: str | None
    limit: str | None


@dataclass(frozen=True, slots=True)
class Login:
    """A row of the list."""

    user: ProxyUser
    used: Used | None
    now: datetime

    @property
    def amounts(self) -> list[tuple[Any, Amount]]:
        """The amounts with their headings."""
        used = self.used or (None,) * len(self.user.limits)
        amounts = [Amount(_text(size), _text(limit)) for size, limit in zip(used, self.user.limits, strict=True)]
        return list(zip(PERIODS, amounts, strict=True))

    @property
    def is_stopped(self) -> bool:
        return self.user.is_stopped(self.now)

    @property
    def released_at(self) -> datetime | None:
        """When the login is released; None for a total limit, which does not reset."""
        return None if self.user.stopped_until == FOREVER else self.user.stopped_until


def _text(size: int | None) -> str | None:
    return None if size is None else amount(size)


def _used(users: Sequence[ProxyUser], now: datetime) -> dict[int, Used]:
    try:
        return traffic.used_by(users, now)
    except EngineUnavailable:
        return {}  # logins can still be changed


class ProxyUsersPage(CustomerPage, TemplateView):
    template_name = "dashboard/proxy_users.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        now = timezone.now()
        users = list(selectors.proxy_users_of(self.customer.pk)[:MAX_SHOWN])
        used = _used(users, now)
        logins = [Login(user, used.get(user.pk), now) for user in users]
        return super().get_context_data(logins=logins, max_shown=MAX_SHOWN, **kwargs)


def _limit_field(label: Any) -> GigabytesField:
    one = Decimal(1) / GIB
    return GigabytesField(label=label, help_text="", min_value=one, max_value=MAX_LIMIT_BYTES * one)


class ProxyUserForm(BodyForm):
    dayBytes = _limit_field(_("Limit per day, in GB"))
    monthBytes = _limit_field(_("Limit per month, in GB"))
    totalBytes = _limit_field(_("Limit in total, in GB"))
    allowedIps = forms.CharField(
        label=_("Allowed IP addresses"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=_(
            "One IP address or network per line, such as 192.0.2.7 or 2001:db8::/48. Leave empty to allow any address."
        ),
    )

    def body(self, cleaned: dict[str, Any]) -> Serializer[Any]:
        limits = {name: cleaned[name] for name in proxy_users.LIMITS}
        return ProxyUserPatch(data={"allowedIps": cleaned["allowedIps"].split(), "limits": limits})


class ProxyUserPage(FormPage):
    template_name = "dashboard/proxy_user.html"
    read_role = Role.MANAGER

    def proxy_user(self) -> ProxyUser:
        return selectors.own_proxy_user(self.customer.pk, self.kwargs["id"])

    def form(self, data: Any = None) -> BodyForm:
        user = self.proxy_user()
        limits = {name: getattr(user, field) for name, field in proxy_users.LIMITS.items()}
        return ProxyUserForm(data, initial={"allowedIps": "\n".join(user.allowed_ips), **limits})

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(proxy_user=self.proxy_user(), **kwargs)

    def save(self, form: BodyForm) -> HttpResponseBase:
        with transaction.atomic():
            user, _password = proxy_users.change_by_owner(self.proxy_user(), form.given)
            self.record("login changed", timezone.now())
        messages.success(self.request, gettext("Limits and allowed IP addresses of “%s” saved.") % user.login)
        return redirect("proxy-users")


class NewPasswordPage(CustomerPage, TemplateView):
    http_method_names = ["get", "head", "post"]
    template_name = "dashboard/confirm.html"
    read_role = Role.MANAGER

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = selectors.own_proxy_user(self.customer.pk, kwargs["id"])
        return super().get_context_data(
            heading=gettext("Create a new password for “%s”?") % user.login,
            lead=_("Proxies reject the old password within seconds. Open connections continue."),
            button=_("Create password"),
            back=reverse("proxy-users"),
            **kwargs,
        )

    def post(self, request: HttpRequest, id: str) -> HttpResponse:
        user = selectors.own_proxy_user(self.customer.pk, id)
        with transaction.atomic():
            user, password = proxy_users.change_by_owner(user, {"password": None})
            self.record("login password changed", timezone.now())
        return show_once(
            request,
            gettext("New password of “%s”") % user.login,
            _("Use it with this login to connect to the proxies."),
            [(_("Login"), user.login), (_("Password"), str(password))],
            reverse("proxy-users"),
        )
