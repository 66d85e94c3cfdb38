"""Every route and method against every caller. A route that is not in the table fails, so that none goes unguarded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from accounts import applications, email_change, sharing, team, tokens
from accounts.models import ApiKey, EmailChange, Invitation, Membership, Role, SavedView, ShareLink, User
from accounts.services import issue_key, revoke_key
from accounts.sessions import SessionStore, hashed
from fonproxy import ids
from fonproxy.clickhouse.client import Client
from orders import webhooks
from orders.byteful.family import PREFIXES
from orders.models import (
    EventDelivery,
    LedgerEntry,
    Network,
    Order,
    ProviderEvent,
    ProxyUser,
    WebhookEndpoint,
)
from tests.accounts.helpers import PASSWORD
from tests.analytics.helpers import documented_row
from tests.orders.helpers import bought
from usage.alerts import mail, services
from usage.ids import alert_id
from usage.models import Alert
from usage.reports import mail as report_mail

OWN_KEYS = ("read", "write", "ingest", "gateway", "provision", "metrics")
STAFF_KEYS = ("read", "provision")
PEOPLE = ("owner", "another customer", "staff", "helper", "viewer")
REFUSED = (
    *("nobody", "expired key", "revoked key", "unknown key", "inactive user"),
    *("expired token", "token of a sign-in whose refresh token was used twice"),
)
SESSIONS = ("owner's session", "staff's session", "helper's session")
CALLERS = (
    *PEOPLE,
    *(f"owner's {scope} key" for scope in OWN_KEYS),
    *(f"staff's {scope} key" for scope in STAFF_KEYS),
    "helper's provision key",
    *REFUSED,
    *SESSIONS,
    *(f"{session} without CSRF token" for session in SESSIONS),
)
Codes = dict[str, int]
Credential = tuple[dict[str, str], SimpleCookie]  # headers and cookies


def everybody(code: int) -> Codes:
    return dict.fromkeys(CALLERS, code)


def api(
    owner: int,
    others: int | None = None,
    *,
    staff: int | None = None,
    helper: int | None = None,
    viewer: int | None = None,
    first: Codes | None = None,
    is_safe: bool = True,
    **keys: int,
) -> Codes:
    """The expected answers of an API route.

    Users who are not named get the same as another customer, who by default gets the same as the owner. Keys by scope
    are the owner's, ``staff_provision`` and ``staff_read`` are staff's; those not named get 403. ``first`` names
    callers that are tried first and get another answer than those after them.
    """
    others = owner if others is None else others
    staff = others if staff is None else staff
    by_person = {
        "owner": owner,
        "another customer": others,
        "staff": staff,
        "helper": others if helper is None else helper,
        "viewer": others if viewer is None else viewer,
    }
    codes = by_person | dict.fromkeys(REFUSED, 401)
    codes |= {f"owner's {scope} key": keys.get(scope, 403) for scope in OWN_KEYS}
    codes |= {f"staff's {scope} key": keys.get(f"staff_{scope}", 403) for scope in STAFF_KEYS}
    codes["helper's provision key"] = 403
    for session in SESSIONS:
        code = by_person[session.removesuffix("'s session")]
        codes |= {session: code, f"{session} without CSRF token": code if is_safe else 403}
    return codes | (first or {})


def own(code: int, others: int | None = None) -> Codes:
    """A read of the owner's data."""
    others = code if others is None else others
    return api(code, others, read=code, staff_read=others)


def change(code: int, others: int, first: Codes | None = None) -> Codes:
    """A change of the owner's data."""
    return api(code, others, write=code, first=first, is_safe=False)


def provisioning(code: int, *, viewer: int = 403, first: Codes | None = None, is_safe: bool = False) -> Codes:
    """A route for the provider's own systems."""
    return api(403, staff=code, viewer=viewer, staff_provision=code, first=first, is_safe=is_safe)


EVERYBODY = everybody(200)
OWN_ORDER = own(200, 404)
OWN_LIST = own(200)
KEYS_READ = api(200)
KEYS_MADE = api(201, is_safe=False)
KEYS_ROTATED = api(200, 404, is_safe=False)
KEY_ENDED = api(204, 404, is_safe=False)
NOBODY_HERE = everybody(401)
NOT_THERE = own(404)
# The first caller creates it; for the others it already exists.
ALERT_MADE = change(409, 404, {"owner": 201})
ALERT_CHANGED = change(200, 404)
ALERT_ENDED = change(204, 404)
INTAKE = api(403, staff=204, ingest=204, is_safe=False)
METRICS = api(403, staff=200, viewer=200, metrics=200)
FEED = provisioning(200, viewer=200, is_safe=True) | {"owner's gateway key": 200}
PROVISIONED = provisioning(200)
PROVISIONING_READ = provisioning(200, viewer=200, is_safe=True)
PROVISIONING_MADE = provisioning(201)
WEBHOOK = "provisioning/webhooks/<str:id>"
# Repeating it adds nothing.
CREDITED = provisioning(200, first={"staff": 201})
# A redirect that Django makes for any method; only a browser's session must send its CSRF token.
REDIRECT = everybody(302)
REDIRECT_UNSAFE = {caller: 403 if "without" in caller else 302 for caller in CALLERS}
# For most of them there is nothing to stop; a cookie needs its token.
ALWAYS_STOPPED = REDIRECT_UNSAFE
# Pages identify users by their sessions alone, and make anybody else sign in.
FOR_SESSIONS = {caller: 200 if "session" in caller else 302 for caller in CALLERS}
FOR_STRANGERS = {caller: 302 if "session" in caller else 200 for caller in CALLERS}
FORM = {caller: 403 if "without" in caller else 200 for caller in CALLERS}
SIGN_IN = {caller: 403 if "without" in caller else 302 if "session" in caller else 200 for caller in CALLERS}


def owners_page(allowed: int) -> Codes:
    """For pages about the owner's data, which the owner's sessions may see; a form also requires its CSRF token."""
    codes = dict.fromkeys(SESSIONS, 404) | {"owner's session": allowed}
    return {caller: codes.get(caller.removesuffix(" without CSRF token"), 302) for caller in CALLERS}


def with_token(codes: Codes) -> Codes:
    return {caller: 403 if "without" in caller else code for caller, code in codes.items()}


TABLE = {
    ("GET", ""): REDIRECT,
    ("GET", "admin/login/"): REDIRECT,
    ("GET", "admin/password_change/"): REDIRECT,
    **{
        (method, path): REDIRECT_UNSAFE
        for path in ("", "admin/login/", "admin/password_change/")
        for method in ("POST", "PUT", "PATCH", "DELETE")
    },
    ("GET", "healthz"): EVERYBODY,
    ("GET", "readyz"): EVERYBODY,
    ("GET", "metrics"): METRICS,
    ("GET", "openapi.json"): EVERYBODY,
    ("GET", "docs"): EVERYBODY,
    ("GET", "docs/guide"): EVERYBODY,
    ("POST", "auth/token"): EVERYBODY,
    ("POST", "auth/token/refresh"): EVERYBODY,
    ("POST", "auth/sign-out"): api(204, is_safe=False),
    ("GET", "sign-in"): FOR_STRANGERS,
    ("POST", "sign-in"): SIGN_IN,
    ("GET", "sign-in/second-factor"): REDIRECT,
    ("POST", "sign-in/second-factor"): REDIRECT_UNSAFE,
    ("GET", "confirm"): FOR_SESSIONS,
    ("POST", "confirm"): with_token(FOR_SESSIONS),
    ("POST", "sign-out"): REDIRECT_UNSAFE,
    ("GET", "password-reset"): EVERYBODY,
    ("POST", "password-reset"): FORM,
    ("GET", "password-reset/sent"): EVERYBODY,
    ("GET", "password-reset/done"): EVERYBODY,
    ("GET", "password-reset/<uidb64>/<token>"): EVERYBODY,
    ("POST", "password-reset/<uidb64>/<token>"): FORM,
    ("GET", "dashboard"): FOR_SESSIONS,
    ("GET", "dashboard/explore"): FOR_SESSIONS,
    ("GET", "dashboard/realtime"): FOR_SESSIONS,
    ("GET", "dashboard/connect"): FOR_SESSIONS,
    ("GET", "dashboard/logs"): FOR_SESSIONS,
    ("GET", "dashboard/ledger"): FOR_SESSIONS,
    ("GET", "dashboard/strings/<slug:language>.js"): EVERYBODY,
    ("GET", "dashboard/alerts"): FOR_SESSIONS,
    ("GET", "dashboard/alerts/new"): FOR_SESSIONS,
    ("POST", "dashboard/alerts/new"): with_token(FOR_SESSIONS),
    ("GET", "dashboard/alerts/<str:id>"): owners_page(200),
    ("POST", "dashboard/alerts/<str:id>"): with_token(owners_page(200)),
    ("POST", "dashboard/alerts/<str:id>/test"): with_token(owners_page(302)),
    ("GET", "dashboard/alerts/<str:id>/delete"): owners_page(200),
    ("POST", "dashboard/alerts/<str:id>/delete"): with_token(owners_page(302)),
    ("GET", "dashboard/account"): FOR_SESSIONS,
    ("POST", "dashboard/account"): REDIRECT_UNSAFE,
    ("GET", "dashboard/account/email"): FOR_SESSIONS,
    ("POST", "dashboard/account/email"): with_token(FOR_SESSIONS),
    ("POST", "dashboard/account/email/cancel"): REDIRECT_UNSAFE,
    ("GET", "dashboard/account/email/confirm/<str:token>"): owners_page(200),
    ("POST", "dashboard/account/email/confirm/<str:token>"): with_token(owners_page(302)),
    ("GET", "dashboard/account/password"): FOR_SESSIONS,
    ("POST", "dashboard/account/password"): with_token(FOR_SESSIONS),
    ("POST", "dashboard/account/report"): REDIRECT_UNSAFE,
    ("POST", "dashboard/account/mails/<str:id>"): with_token(owners_page(302)),
    ("POST", "dashboard/account/sessions/<slug:name>"): with_token(owners_page(302)),
    ("GET", "dashboard/account/factor"): FOR_SESSIONS,
    ("POST", "dashboard/account/factor"): with_token(FOR_SESSIONS),
    ("POST", "dashboard/account/factor/remove"): REDIRECT_UNSAFE,
    ("POST", "dashboard/account/recovery-codes"): with_token(owners_page(404)),
    ("GET", "dashboard/keys"): FOR_SESSIONS,
    ("POST", "dashboard/keys"): with_token(FOR_SESSIONS),
    ("GET", "dashboard/keys/<str:id>/rotate"): owners_page(200),
    ("POST", "dashboard/keys/<str:id>/rotate"): with_token(owners_page(200)),
    ("GET", "dashboard/keys/<str:id>/revoke"): owners_page(200),
    ("POST", "dashboard/keys/<str:id>/revoke"): with_token(owners_page(302)),
    ("GET", "dashboard/proxy-users"): FOR_SESSIONS,
    ("GET", "dashboard/proxy-users/<str:id>"): owners_page(200),
    ("POST", "dashboard/proxy-users/<str:id>"): with_token(owners_page(302)),
    ("GET", "dashboard/proxy-users/<str:id>/password"): owners_page(200),
    ("POST", "dashboard/proxy-users/<str:id>/password"): with_token(owners_page(200)),
    ("POST", "dashboard/switch"): with_token(owners_page(404)),
    ("GET", "dashboard/team"): FOR_SESSIONS,
    ("POST", "dashboard/team"): with_token(FOR_SESSIONS),
    ("GET", "dashboard/team/leave"): owners_page(404),
    ("POST", "dashboard/team/leave"): with_token(owners_page(404)),
    ("POST", "dashboard/team/invitations/<str:id>"): with_token(owners_page(302)),
    ("GET", "dashboard/team/<str:id>"): owners_page(200),
    ("POST", "dashboard/team/<str:id>"): with_token(owners_page(200)),
    ("GET", "dashboard/team/<str:id>/remove"): owners_page(200),
    ("POST", "dashboard/team/<str:id>/remove"): with_token(owners_page(302)),
    ("POST", "dashboard/views"): REDIRECT_UNSAFE,
    ("POST", "dashboard/views/<str:id>/delete"): with_token(owners_page(302)),
    ("GET", "dashboard/shares"): FOR_SESSIONS,
    ("GET", "dashboard/shares/new"): FOR_SESSIONS,
    ("POST", "dashboard/shares/new"): with_token(FOR_SESSIONS),
    ("POST", "dashboard/shares/<str:id>/revoke"): with_token(owners_page(302)),
    ("GET", "shared/<str:token>"): EVERYBODY,
    **{
        ("GET", f"shared/<str:token>/{report}"): EVERYBODY
        for report in ("traffic", "requests", "concurrency", "errors", "countries", "websites")
    },
    ("GET", "join/<str:token>"): EVERYBODY,
    ("POST", "join/<str:token>"): FORM,
    ("GET", "dashboard/applications"): FOR_SESSIONS,
    ("POST", "dashboard/applications"): with_token(FOR_SESSIONS),
    ("GET", "dashboard/applications/<str:id>"): owners_page(200),
    ("GET", "dashboard/applications/<str:id>/rotate"): owners_page(200),
    ("POST", "dashboard/applications/<str:id>/rotate"): with_token(owners_page(200)),
    ("GET", "proxies"): EVERYBODY,
    ("GET", "geo/counts"): EVERYBODY,
    ("GET", "geo/countries"): EVERYBODY,
    ("GET", "provisioning/geo-counts"): PROVISIONING_READ,
    ("GET", "provisioning/exhausted"): FEED,
    ("GET", "provisioning/usage"): PROVISIONING_READ,
    ("GET", "provisioning/origins"): PROVISIONING_READ,
    ("GET", "provisioning/login-clients"): PROVISIONING_READ,
    ("GET", "provisioning/webhooks"): PROVISIONING_READ,
    ("POST", "provisioning/webhooks"): PROVISIONING_MADE,
    ("GET", WEBHOOK): PROVISIONING_READ,
    ("PATCH", WEBHOOK): PROVISIONED,
    ("DELETE", WEBHOOK): provisioning(204),
    ("POST", f"{WEBHOOK}/test"): provisioning(202),
    ("GET", f"{WEBHOOK}/deliveries"): PROVISIONING_READ,
    ("POST", f"{WEBHOOK}/deliveries/<str:deliveryId>/resend"): PROVISIONED,
    ("GET", "provisioning/users"): PROVISIONING_READ,
    ("GET", "provisioning/orders"): PROVISIONING_READ,
    ("PUT", "provisioning/users/<str:externalId>"): PROVISIONED,
    ("GET", "provisioning/users/<str:externalId>"): PROVISIONING_READ,
    ("POST", "provisioning/users/<str:externalId>/api-keys"): PROVISIONING_MADE,
    ("POST", "provisioning/users/<str:externalId>/password-link"): PROVISIONING_MADE,
    ("DELETE", "provisioning/users/<str:externalId>"): PROVISIONED,
    ("PUT", "provisioning/orders/<str:externalId>"): PROVISIONED,
    ("GET", "provisioning/orders/<str:externalId>"): PROVISIONING_READ,
    **{
        ("POST", f"provisioning/orders/<str:externalId>/{step}"): PROVISIONED
        for step in ("suspend", "resume", "expire")
    },
    **{
        ("POST", f"provisioning/orders/<str:externalId>/{kind}"): CREDITED
        for kind in ("top-ups", "refunds", "adjustments", "renewals")
    },
    **{
        ("GET", f"{prefix}{network}{rest}"): codes
        for prefix in PREFIXES
        for network in ("residential", "mobile")
        for rest, codes in (
            ("_ledger/search", OWN_LIST),
            ("_ledger/retrieve/<str:id>", OWN_ORDER),
            ("/summary", OWN_ORDER),
        )
    },
    **{("GET", f"{prefix}customer/retrieve"): OWN_LIST for prefix in PREFIXES},
    **{
        (method, f"{prefix}log/{rest}"): codes
        for prefix in PREFIXES
        for method, rest, codes in (
            ("POST", "ingest", INTAKE),
            ("GET", "search", OWN_LIST),
            ("GET", "retrieve/<str:id>", NOT_THERE),
        )
    },
    **{
        ("GET", f"{prefix}{route}"): codes
        for prefix in PREFIXES
        for route, codes in (
            ("log_summary/search", OWN_LIST),
            ("log_summary/retrieve/<str:id>", NOT_THERE),
            ("analytics/graph", OWN_LIST),
            ("analytics/breakdown", OWN_LIST),
        )
    },
    ("GET", "api/v1/me"): OWN_LIST,
    ("GET", "api/v1/subscriptions"): OWN_LIST,
    ("GET", "api/v1/subscriptions/<str:id>"): OWN_ORDER,
    ("GET", "api/v1/subscriptions/<str:id>/usage"): OWN_ORDER,
    ("GET", "api/v1/usage"): OWN_LIST,
    ("GET", "api/v1/usage/history"): OWN_LIST,
    ("GET", "api/v1/usage/realtime"): OWN_LIST,
    ("GET", "api/v1/usage/by-country"): OWN_LIST,
    ("GET", "api/v1/usage/alerts"): OWN_LIST,
    ("POST", "api/v1/usage/alerts"): ALERT_MADE,
    ("GET", "api/v1/usage/alerts/<str:id>"): OWN_ORDER,
    ("PATCH", "api/v1/usage/alerts/<str:id>"): ALERT_CHANGED,
    ("DELETE", "api/v1/usage/alerts/<str:id>"): ALERT_ENDED,
    ("GET", "reports/unsubscribe/<str:token>"): EVERYBODY,
    ("POST", "reports/unsubscribe/<str:token>"): EVERYBODY,
    ("GET", "alerts/unsubscribe/<str:token>"): EVERYBODY,
    ("POST", "alerts/unsubscribe/<str:token>"): EVERYBODY,
    ("POST", "admin/stop-viewing"): ALWAYS_STOPPED,
    ("POST", "admin/logout/"): REDIRECT_UNSAFE,
    ("GET", "api-keys"): KEYS_READ,
    ("POST", "api-keys"): KEYS_MADE,
    ("DELETE", "api-keys/<str:id>"): KEY_ENDED,
    ("GET", "applications"): KEYS_READ,
    ("POST", "applications"): KEYS_MADE,
    ("POST", "applications/<str:id>/rotate-keys"): KEYS_ROTATED,
    ("GET", "applications/<str:id>/export"): OWN_ORDER,
    ("GET", "applications/<str:id>/timeseries/<str:start>/<str:end>"): OWN_ORDER,
    # An application's keys are another kind of credential; tests/contract/test_apinalytics.py tries those.
    **{("POST", f"1/{name}"): NOBODY_HERE for name in ("event", "event/", "events", "events/")},
    **{("GET", f"1/timeseries/<str:start>/<str:end>{slash}"): NOBODY_HERE for slash in ("", "/")},
    # An empty body: a bad request, a login that is refused, and the same in the form that gost expects.
    ("POST", "gateway/authorize"): api(403, gateway=400, is_safe=False),
    ("GET", "gateway/logins"): api(403, gateway=200),
    ("POST", "gateway/radius/authorize"): api(403, gateway=401, is_safe=False),
    ("POST", "gateway/gost/auth"): api(403, gateway=200, is_safe=False),
    **{
        ("POST", f"gateway/{rest}"): api(403, gateway=400, is_safe=False)
        for rest in ("sessions", "radius/accounting", "gost/observe")
    },
    ("GET", "orders"): OWN_LIST,
    ("GET", "proxy-users"): OWN_LIST,
    ("PATCH", "proxy-users/<str:id>"): ALERT_CHANGED,
    ("POST", "analytics/ingest"): INTAKE,
    ("GET", "analytics/traffic"): OWN_ORDER,
    ("GET", "analytics/requests"): OWN_ORDER,
    ("GET", "analytics/concurrency"): OWN_ORDER,
    ("GET", "analytics/domains"): OWN_ORDER,
    ("GET", "analytics/errors"): OWN_ORDER,
    ("GET", "analytics/countries"): OWN_ORDER,
    ("GET", "analytics/websites"): OWN_ORDER,
}
# What a member of the owner's team needs a role for; routes without a role here need only a viewer's.
TEAM = {
    Role.MANAGER: {
        ("GET", "dashboard/alerts/new"),
        ("POST", "dashboard/alerts/new"),
        ("POST", "dashboard/alerts/<str:id>"),
        ("POST", "dashboard/alerts/<str:id>/test"),
        ("GET", "dashboard/alerts/<str:id>/delete"),
        ("POST", "dashboard/alerts/<str:id>/delete"),
        ("GET", "dashboard/proxy-users/<str:id>"),
        ("POST", "dashboard/proxy-users/<str:id>"),
        ("GET", "dashboard/proxy-users/<str:id>/password"),
        ("POST", "dashboard/proxy-users/<str:id>/password"),
        ("POST", "dashboard/views"),
        ("POST", "dashboard/views/<str:id>/delete"),
        ("GET", "dashboard/shares/new"),
        ("POST", "dashboard/shares/new"),
        ("POST", "dashboard/shares/<str:id>/revoke"),
        ("POST", "api/v1/usage/alerts"),
        ("PATCH", "api/v1/usage/alerts/<str:id>"),
        ("DELETE", "api/v1/usage/alerts/<str:id>"),
        ("PATCH", "proxy-users/<str:id>"),
    },
    Role.OWNER: {
        ("GET", "dashboard/keys"),
        ("POST", "dashboard/keys"),
        ("GET", "dashboard/keys/<str:id>/rotate"),
        ("POST", "dashboard/keys/<str:id>/rotate"),
        ("GET", "dashboard/keys/<str:id>/revoke"),
        ("POST", "dashboard/keys/<str:id>/revoke"),
        ("POST", "dashboard/applications"),
        ("GET", "dashboard/applications/<str:id>/rotate"),
        ("POST", "dashboard/applications/<str:id>/rotate"),
        ("POST", "dashboard/team"),
        ("POST", "dashboard/team/invitations/<str:id>"),
        ("GET", "dashboard/team/<str:id>"),
        ("POST", "dashboard/team/<str:id>"),
        ("GET", "dashboard/team/<str:id>/remove"),
        ("POST", "dashboard/team/<str:id>/remove"),
        ("GET", "api-keys"),
        ("POST", "api-keys"),
        ("DELETE", "api-keys/<str:id>"),
        ("GET", "applications"),
        ("POST", "applications"),
        ("POST", "applications/<str:id>/rotate-keys"),
    },
}
# About the signed-in user, whatever account is viewed: a member gets what a stranger gets.
PERSONAL = ("dashboard/account", "dashboard/switch", "confirm", "sign-in", "sign-out", "auth/", "admin/")
OF_ACCOUNTS = (*(f"dashboard/{name}/" for name in ("account", "team", "shares", "views")), "join/", "shared/")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CSRF = "a" * 32
ORDER = "provisioning/orders/<str:externalId>"
ALERTS = "api/v1/usage/alerts"
NUMBERS = {"user_id": 1, "order_id": 1}


def routes(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every path of the project with its view, except those of the admin, which protects itself."""
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            if pattern.namespace != "admin":
                yield from routes(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            yield path, pattern.callback


def methods(view: Any) -> set[str]:
    """The methods that a view answers. A plain function does not list them: only GET is tried."""
    actions = getattr(view, "actions", None)
    if actions is not None:
        return {method.upper() for method in actions}
    view_class = getattr(view, "view_class", None) or getattr(view, "cls", None)
    if view_class is None:
        return {"GET"}
    return {
        method
        for method in METHODS
        if method.lower() in view_class.http_method_names and hasattr(view_class, method.lower())
    }


def identity(view: Any) -> str:
    """Equal for paths that the same view class serves in the same way."""
    view_class = getattr(view, "view_class", None) or getattr(view, "cls", None) or view
    return f"{view_class} {getattr(view, 'actions', None)}"


VIEWS = dict(routes(get_resolver().url_patterns))
ROUTES = {path: methods(view) for path, view in VIEWS.items()}
# Which methods a view answers depends on the view alone, not on the path: the last path of each view stands for all.
ONE_PATH_PER_VIEW = set({identity(view): path for path, view in VIEWS.items()}.values())
FOR_ANY_METHOD = {"", "admin/login/", "admin/password_change/", "1.0/public/user/", "1.0/public/user/<path:rest>"}


def test_the_table_names_every_route_and_method() -> None:
    assert set(TABLE) == {(method, path) for path, found in ROUTES.items() for method in found}


@dataclass(frozen=True)
class People:
    owner: User
    other: User
    staff: User
    helper: User
    viewer: User
    order: Order
    credentials: dict[str, Credential] = field(default_factory=dict)

    def caller(self, name: str) -> APIClient:
        """A new client with that credential, which is issued once."""
        if name not in self.credentials:
            self.credentials[name] = self._session(name) if "session" in name else (self._headers(name), SimpleCookie())
        headers, cookies = self.credentials[name]
        client = APIClient(enforce_csrf_checks="session" in name, raise_request_exception=False)
        client.credentials(**headers)
        client.cookies = SimpleCookie(cookies.output(header="", sep=";"))
        return client

    def member(self, role: Role) -> APIClient:
        """A session of another customer who is in the owner's team and views the owner's account."""
        Membership.objects.update_or_create(
            account=self.owner, person=self.other, defaults={"role": role, "created_at": timezone.now()}
        )
        client = replace(self, credentials={}).caller("another customer's session")  # each role has its own
        client.post("/dashboard/switch", {"account": self.owner.published_id})
        client.credentials(HTTP_X_CSRFTOKEN=client.cookies["csrftoken"].value)
        return client

    def _session(self, name: str) -> Credential:
        client = APIClient()
        client.force_login(self._user(name))
        if "without" in name:
            return {}, client.cookies
        client.cookies["csrftoken"] = CSRF
        return {"HTTP_X_CSRFTOKEN": CSRF}, client.cookies

    def _headers(self, name: str) -> dict[str, str]:
        if not name.endswith("key"):
            return self._token(name)
        now = timezone.now()
        scope = name.split()[-2] if "'s" in name else "read"
        key, secret = issue_key(user=self._user(name), name="k", scopes=[scope], now=now)
        if name == "revoked key":
            revoke_key(key, now)
        elif name == "expired key":
            ApiKey.objects.filter(pk=key.pk).update(expires_at=now - timedelta(seconds=1))
        return {"HTTP_X_API_KEY": "fnp_" + "0" * 64 if name == "unknown key" else secret}

    def _with_session_name(self, path: str) -> str:
        """The path with the name of an unused session of the owner, if it names one."""
        if "<slug:name>" not in path:
            return path
        store = SessionStore()
        store[SESSION_KEY] = self.owner.pk
        store.create()
        store.save()
        return path.replace("<slug:name>", hashed(str(store.session_key)))

    def _user(self, name: str) -> User:
        people = {"another customer": self.other, "staff": self.staff, "helper": self.helper, "viewer": self.viewer}
        return people.get(name.partition("'s")[0], self.owner)

    def _token(self, name: str) -> dict[str, str]:
        if name == "nobody":
            return {}
        now = timezone.now()
        user = self._user(name)
        if name == "inactive user":  # inactive already, if this test has asked before
            user, _ = User.objects.update_or_create(username="gone", defaults={"is_active": True})
        access, refresh = tokens.issue(user, now)
        if name == "inactive user":
            User.objects.filter(pk=user.pk).update(is_active=False)
        elif name == "expired token":
            token = AccessToken(access)  # type: ignore[arg-type]  # annotated as the library's own Token, reads text
            token.set_exp(from_time=now - timedelta(hours=1))
            access = str(token)
        elif name == "token of a sign-in whose refresh token was used twice":
            tokens.rotate(refresh, now)
            with suppress(AuthenticationFailed):
                tokens.rotate(refresh, now)
        return {"HTTP_AUTHORIZATION": f"Bearer {access}"}

    def call(self, client: APIClient, method: str, path: str) -> Any:
        """A correct request about the owner's data, within the rate limits."""
        cache.clear()
        if path.startswith("analytics/") and method == "GET" and path.rpartition("/")[2] not in ("graph", "breakdown"):
            day = f"{timezone.now():%Y-%m-%d}"
            return client.get(f"/{path}", {"from": day, "to": day, "orderId": self.order.published_id})
        if path in ("provisioning/usage", "provisioning/origins", "provisioning/login-clients") and method == "GET":
            return client.get(f"/{path}", {"from": "2026-11-01", "to": "2026-11-30"})
        if path == "geo/countries" and method == "GET":
            return client.get(f"/{path}", {"type": "residential-giga"})
        bodies: dict[str, Callable[[], Any]] = {
            "auth/token": lambda: {"username": self.owner.username, "password": PASSWORD},
            "auth/token/refresh": lambda: {"refresh": tokens.issue(self.owner, timezone.now()).refresh},
            "api-keys": lambda: {"name": "a new one"},
            "applications": lambda: {"name": "a new one"},
            "applications/<str:id>/rotate-keys": dict,
            "proxy-users/<str:id>": lambda: {"allowedIps": ["192.0.2.0/24"]},
            "analytics/ingest": lambda: {"logs": [documented_row()]},
            "provisioning/users/<str:externalId>/api-keys": lambda: {"name": "for the customer"},
            "provisioning/webhooks": lambda: {"url": "https://93.184.216.34/"},
            f"{ORDER}/adjustments": lambda: {"reference": "r", "bytes": 1},
            f"{ORDER}/top-ups": lambda: {"reference": "r", "bytes": 1},
            f"{ORDER}/refunds": lambda: {"reference": "r", "bytes": 1},
            f"{ORDER}/renewals": lambda: {"reference": "r", "bytes": 1},
            **{
                f"{prefix}log/ingest": lambda: {"logs": [{"log_request_datetime": f"{timezone.now()}", **NUMBERS}]}
                for prefix in PREFIXES
            },
            ALERTS: lambda: {
                "subscription_id": f"sub_{self.order.published_id}",
                "threshold_percent": 42,
                "notification_method": "email",
            },
            ORDER: lambda: {"user": "c", "name": "Order", "proxyType": "residential-giga", "trafficLimitBytes": 10**9},
        }
        body = json.dumps(bodies[path]()) if method != "GET" and path in bodies else ""
        address = self.address(path)
        if method == "DELETE" and path == "provisioning/users/<str:externalId>":
            User.objects.update_or_create(username="to go", defaults={"external_id": "g"})
            address = "/provisioning/users/g"
        return client.generic(method, address, body, content_type="application/json")

    def address(self, path: str) -> str:
        if "<str:externalId>" in path:
            User.objects.filter(pk=self.owner.pk).update(external_id="c")
            Order.objects.filter(pk=self.order.pk).update(external_id="x")
            return f"/{path.replace('<str:externalId>', 'x' if 'orders' in path else 'c')}"
        path = self._with_webhook_or_report(path)
        if path.startswith((f"{ALERTS}/", "dashboard/alerts/<str:id>")):
            alert = Alert.objects.filter(order=self.order).first() or services.create(
                self.order, 43, Alert.Method.EMAIL, now=timezone.now()
            )
            return f"/{path.replace('<str:id>', alert_id(alert.pk))}"
        if path.startswith(("proxy-users/", "dashboard/proxy-users/")):
            proxy_user, _ = ProxyUser.objects.get_or_create(login="a login", defaults={"order": self.order})
            return f"/{path.replace('<str:id>', proxy_user.published_id)}"
        if path.startswith(OF_ACCOUNTS):
            path = self._account_path(path) if "account" in path else self._team_path(path)
        if "<str:token>" in path:
            token = mail.unsubscribe_link(self.order, "somebody@example.com").rpartition("/")[2]
            return f"/alerts/unsubscribe/{token}"
        if "log/retrieve" in path or "log_summary/retrieve" in path:
            return f"/{path.replace('<str:id>', '0190a5c8-0000-7000-8000-000000000000')}"
        if "_ledger/retrieve" in path:
            network = "mobile" if "mobile" in path else "residential"
            entry = LedgerEntry.objects.get(order__product__network=network)
            return f"/{path.replace('<str:id>', ids.encode(f'{network}_ledger', entry.pk))}"
        path = path.replace("subscriptions/<str:id>", f"subscriptions/sub_{self.order.published_id}")
        path = path.replace("<str:start>", "1500000000").replace("<str:end>", "1500000001")
        if path.startswith(("applications/", "dashboard/applications/")):
            application = applications.create(self.owner, "an API", timezone.now())[0]
            return f"/{path.replace('<str:id>', application.published_id)}"
        if "<str:id>" in path:
            key = issue_key(user=self.owner, name="its own", scopes=("read",), now=timezone.now())[0]
            path = path.replace("<str:id>", key.published_id)
        path = self._with_session_name(path).replace("<uidb64>/<token>", "MQ/no-token")
        path = path.replace("<path:rest>", "proxy/search").replace("<slug:language>", "en")
        assert "<" not in path, f"say what to put into {path}"
        return f"/{path}"

    def _with_webhook_or_report(self, path: str) -> str:
        if path.startswith("reports/unsubscribe"):
            return path.replace("<str:token>", report_mail.unsubscribe_link(self.owner).rpartition("/")[2])
        if not path.startswith(WEBHOOK):
            return path
        # Nothing listens there: a test delivery reports that.
        endpoint = WebhookEndpoint.objects.first() or webhooks.create(
            url="http://127.0.0.1:1/", description="", event_types=[], now=timezone.now()
        )
        event, _ = ProviderEvent.objects.get_or_create(
            type="order.expired", defaults={"user_number": 1, "data": {}, "occurred_at": timezone.now()}
        )
        row, _ = EventDelivery.objects.get_or_create(
            event=event, endpoint=endpoint, defaults={"next_attempt_at": timezone.now()}
        )
        path = path.replace("<str:deliveryId>", row.published_id)
        return path.replace("<str:id>", endpoint.published_id)

    def _team_path(self, path: str) -> str:
        if "views" in path:
            saved, _ = SavedView.objects.get_or_create(account=self.owner, name="saved", defaults={"view": {}})
            return path.replace("<str:id>", saved.published_id)
        if "share" in path:
            view = {"range": "24h", "tz": "UTC"}
            ShareLink.objects.all().delete()
            link, secret = sharing.create(self.owner, "a link", view, timedelta(days=1), self.owner, timezone.now())
            return path.replace("<str:id>", link.published_id).replace("<str:token>", secret)
        team.invite(self.owner, "new@example.com", Role.VIEWER, self.owner, timezone.now())
        kim, _ = User.objects.get_or_create(username="kim")
        member, _ = Membership.objects.get_or_create(
            account=self.owner, person=kim, defaults={"role": Role.VIEWER, "created_at": timezone.now()}
        )
        Invitation.objects.update(key_hash=hashed("the link"))
        row = Invitation.objects.get() if "invitations" in path else member
        return path.replace("<str:id>", row.published_id).replace("<str:token>", "the link")

    def _account_path(self, path: str) -> str:
        email_change.request(self.owner, "new@example.com", timezone.now())
        EmailChange.objects.update(key_hash=hashed("the link"))
        return path.replace("<str:token>", "the link").replace("<str:id>", self.order.published_id)


@pytest.fixture(scope="module")
def made(module_db: None, module_engine: Client) -> People:
    """Shared by all tests, each of which undoes the changes of its calls."""
    alice, bob, staff, helper, viewer = (
        User.objects.create_user(name, f"{name}@example.com", PASSWORD, is_staff=name not in ("alice", "bob"))
        for name in ("alice", "bob", "staff", "helper", "viewer")
    )
    staff.user_permissions.set(Permission.objects.all())
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    bought(alice, network=Network.MOBILE, limit=10**9)
    people = People(alice, bob, staff, helper, viewer, bought(alice, limit=10**9))
    for caller in CALLERS:
        people.caller(caller)
    return people


@pytest.fixture
def people(made: People, db: None) -> People:
    return replace(made, credentials=dict(made.credentials))


@pytest.mark.parametrize(("method", "path"), TABLE)
def test_every_caller_gets_the_status_in_the_table(method: str, path: str, people: People) -> None:
    if path == "auth/sign-out":  # which also ends every other credential of the user
        people = replace(people, credentials={})
    got = {name: people.call(people.caller(name), method, path).status_code for name in CALLERS}
    assert got == TABLE[method, path]


@pytest.mark.parametrize(("method", "path"), TABLE)
def test_every_team_member_has_exactly_the_roles_access(method: str, path: str, people: People) -> None:
    needed = next((role for role, found in TEAM.items() if (method, path) in found), Role.VIEWER)
    for role in Role:
        client = people.member(role)
        allowed = dict.fromkeys(SESSIONS, 403) | TABLE[method, path]
        expected = allowed["owner's session"] if role.includes(needed) else 403
        if path.startswith(PERSONAL):
            expected = allowed["helper's session"]
        elif path in ("dashboard/team/leave", "join/<str:token>"):
            expected = 200 if method == "GET" else 302
        elif (method, path) == ("POST", ALERTS) and role is Role.OWNER:
            expected = 201  # the first to create it
        assert people.call(client, method, path).status_code == expected, role


@pytest.mark.parametrize("path", sorted(ONE_PATH_PER_VIEW - FOR_ANY_METHOD))
def test_any_other_method_is_refused_even_to_staff(path: str, people: People) -> None:
    client = people.caller("staff")
    for method in {*METHODS, "TRACE", "PROPFIND"} - ROUTES[path]:
        assert people.call(client, method, path).status_code in (302, 401, 403, 405), method


@pytest.mark.parametrize(
    "path", ["analytics/traffic", "analytics/ingest", "log/search", "api/v1/usage/alerts", "orders"]
)
@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
def test_options_lists_the_methods_of_the_route(path: str, accept: str, people: People) -> None:
    answer = people.caller("staff").options(f"/{path}", HTTP_ACCEPT=accept)
    assert (answer.status_code, answer.content) == (200, b"")
    taken = ROUTES[path] | {"OPTIONS"} | ({"HEAD"} if "GET" in ROUTES[path] else set())
    assert set(answer.headers["Allow"].split(", ")) == taken


@pytest.mark.parametrize("path", sorted(path for path in ONE_PATH_PER_VIEW if ("GET", path) in TABLE))
def test_head_is_answered_as_get_is(path: str, people: People) -> None:
    for name in ("owner", "another customer", "owner's ingest key", "nobody"):
        got = people.call(people.caller(name), "GET", path)
        address = f"{got.wsgi_request.path}?{got.wsgi_request.META['QUERY_STRING']}"
        assert people.caller(name).head(address).status_code == got.status_code
