"""Search for customers by any id, login, name, mail address, key or external id."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import ApiKey, Application, User
from fonproxy import ids
from geo.models import StaticIp
from orders.models import Order, ProxyUser

MAX_TERM: Final = 200
MAX_OF_EACH: Final = 20
PREFIXES: Final = ("sub_", "alert_")
MAX_NUMBER: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Hit:
    """A customer, or an object of theirs; ``is_exact`` if the term identifies it."""

    kind: str
    name: str
    url: str
    customer: User | None
    is_exact: bool


def find(term: str, user: Any) -> list[Hit]:
    """The hits that the user may see, exact ones first; at most 20 of each kind."""
    term = term.strip()[:MAX_TERM]
    if not term or "\0" in term:
        return []
    hits = [hit for permission, kind in KINDS.items() if user.has_perm(permission) for hit in kind(term)]
    return sorted(hits, key=lambda hit: not hit.is_exact)


def may_search(user: Any) -> bool:
    """Whether the user may see any searchable object."""
    return any(user.has_perm(permission) for permission in KINDS)


def _number(kind: str, term: str) -> int:
    """The term as a row number or decoded published id; 0 if it is neither."""
    if term.isascii() and term.isdigit():
        return number if (number := int(term[:20])) <= MAX_NUMBER else 0
    for prefix in PREFIXES:
        term = term.removeprefix(prefix)
    return ids.decode(kind, term) or 0


def _customers(term: str) -> Iterator[Hit]:
    number = _number("user", term)
    named = Q(username__icontains=term) | Q(email__icontains=term) | Q(external_id__icontains=term)
    full_name = Q(first_name__icontains=term) | Q(last_name__icontains=term)
    for user in User.objects.filter(Q(pk=number) | named | full_name).order_by("username")[:MAX_OF_EACH]:
        names = (user.username, user.email, user.external_id)
        yield Hit(_("customer"), user.username, customer_url(user), user, user.pk == number or _is_one_of(term, names))


def _orders(term: str) -> Iterator[Hit]:
    number = _number("order", term)
    found = Order.objects.filter(Q(pk=number) | Q(external_id__icontains=term) | Q(name__icontains=term))
    for order in found.select_related("user").order_by("-pk")[:MAX_OF_EACH]:
        url = reverse("admin:orders_order_change", args=[order.pk])
        is_exact = order.pk == number or _is_one_of(term, (order.external_id, order.name))
        yield Hit(_("order"), str(order), url, order.user, is_exact)


def _logins(term: str) -> Iterator[Hit]:
    number = _number("proxy_user", term)
    found = ProxyUser.objects.filter(Q(pk=number) | Q(login__icontains=term)).select_related("order__user")
    for login in found.order_by("login")[:MAX_OF_EACH]:
        url = reverse("admin:orders_proxyuser_change", args=[login.pk])
        is_exact = _is_one_of(term, (login.login,)) or (login.pk == number and not term.isdigit())
        yield Hit(_("proxy login"), login.login, url, login.order.user, is_exact)


def _keys(term: str) -> Iterator[Hit]:
    """API keys by their beginning or as a whole; never by name alone."""
    number = 0 if term.isdigit() else _number("key", term)
    prefix = term[:8] if term.startswith("fnp_") else ""
    found = ApiKey.objects.filter(Q(pk=number) | (Q(prefix=prefix) & ~Q(prefix=""))).select_related("user")
    for key in found.order_by("-pk")[:MAX_OF_EACH]:
        yield Hit(_("API key"), str(key), reverse("admin:accounts_apikey_change", args=[key.pk]), key.user, True)


def _applications(term: str) -> Iterator[Hit]:
    number = 0 if term.isdigit() else _number("application", term)
    found = Application.objects.filter(Q(pk=number) | Q(name__icontains=term)).select_related("user").order_by("-pk")
    for application in found[:MAX_OF_EACH]:
        url = reverse("admin:accounts_application_change", args=[application.pk])
        yield Hit(_("application"), application.name, url, application.user, application.pk == number)


def _addresses(term: str) -> Iterator[Hit]:
    if address := ip_address(term):
        for row in StaticIp.objects.filter(address=address)[:MAX_OF_EACH]:
            url = reverse("admin:geo_staticip_change", args=[row.pk])
            yield Hit(_("static IP"), f"{row.address} ({row.proxy_type})", url, None, True)


KINDS: Final = {
    "accounts.view_user": _customers,
    "orders.view_order": _orders,
    "orders.view_proxyuser": _logins,
    "accounts.view_apikey": _keys,
    "accounts.view_application": _applications,
    "geo.view_staticip": _addresses,
}


def ip_address(term: str) -> str:
    """The address in canonical form; empty for other text, such as an address with a zone."""
    try:
        return "" if "%" in term else str(ipaddress.ip_address(term.strip()))
    except ValueError:
        return ""


def customer_url(user: User) -> str:
    return reverse("admin:console_customer", args=[user.pk])


def _is_one_of(term: str, names: tuple[str | None, ...]) -> bool:
    return any(name is not None and name.lower() == term.lower() for name in names)
