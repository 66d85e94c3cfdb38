"""Every route and method against every caller. What is not in the table fails, so that no route goes unguarded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import RefreshToken

from accounts import applications
from accounts.models import ApiKey, Network, Order, User
from accounts.services import issue_key, revoke_key
from fonproxy import ids
from fonproxy.api.families import BYTEFUL_PREFIXES
from tests.accounts.helpers import PASSWORD, client_with
from tests.analytics.helpers import documented_row
from usage.alerts import mail, services
from usage.models import Alert, LedgerEntry
from usage.v1.ids import alert_id

CALLERS = (
    "owner",
    "another customer",
    "owner's read key",
    "owner's ingest key",
    "staff",
    "nobody",
    "expired key",
    "revoked key",
    "unknown key",
    "inactive user",
    "owner's session",
    "owner's session without CSRF token",
    "staff's session",
    "staff's session without CSRF token",
)
# In the order of CALLERS.
EVERYBODY = (200,) * 14
OWN_ORDER = (200, 404, 200, 403, 404, 401, 401, 401, 401, 401, 200, 200, 404, 404)
OWN_LIST = (200, 200, 200, 403, 200, 401, 401, 401, 401, 401, 200, 200, 200, 200)
KEYS_READ = (200, 200, 403, 403, 200, 401, 401, 401, 401, 401, 200, 200, 200, 200)
KEYS_MADE = (201, 201, 403, 403, 201, 401, 401, 401, 401, 401, 201, 403, 201, 403)
KEYS_ROTATED = (200, 404, 403, 403, 404, 401, 401, 401, 401, 401, 200, 403, 404, 403)
KEY_ENDED = (204, 404, 403, 403, 404, 401, 401, 401, 401, 401, 204, 403, 404, 403)
NOBODY_HERE = (401,) * 14
NOT_THERE = (404, 404, 404, 403, 404, 401, 401, 401, 401, 401, 404, 404, 404, 404)
# The first makes it; for the others it is there already.
ALERT_MADE = (201, 404, 409, 403, 404, 401, 401, 401, 401, 401, 409, 403, 404, 403)
ALERT_CHANGED = (200, 404, 200, 403, 404, 401, 401, 401, 401, 401, 200, 403, 404, 403)
ALERT_ENDED = (204, 404, 204, 403, 404, 401, 401, 401, 401, 401, 204, 403, 404, 403)
INTAKE = (403, 403, 403, 204, 204, 401, 401, 401, 401, 401, 403, 403, 204, 403)
# There is nothing to stop for most of them; a cookie needs its token.
ALWAYS_STOPPED = (302,) * 11 + (403, 302, 403)
FOR_STAFF = (403, 403, 403, 403, 200, 401, 401, 401, 401, 401, 403, 403, 200, 200)
FOR_STAFF_UNSAFE = (403, 403, 403, 403, 200, 401, 401, 401, 401, 401, 403, 403, 200, 403)
# The same again adds nothing.
CREDITED = (403, 403, 403, 403, 201, 401, 401, 401, 401, 401, 403, 403, 200, 403)
# A redirect that Django makes for any method; only a browser's session is asked for its CSRF token.
REDIRECT = (302,) * 14
REDIRECT_UNSAFE = tuple(403 if "without" in caller else 302 for caller in CALLERS)
# Pages know people by their sessions alone, and ask anybody else to sign in.
FOR_SESSIONS = tuple(200 if "session" in caller else 302 for caller in CALLERS)
FOR_STRANGERS = tuple(302 if "session" in caller else 200 for caller in CALLERS)
FORM = tuple(403 if "without" in caller else 200 for caller in CALLERS)
SIGN_IN = tuple(403 if "without" in caller else 302 if "session" in caller else 200 for caller in CALLERS)


def owners_page(allowed: int) -> tuple[int, ...]:
    """For pages about something of the owner's, whose sessions may; a form also wants its CSRF token."""
    codes = {"owner's session": allowed, "staff's session": 404}
    return tuple(codes.get(caller.removesuffix(" without CSRF token"), 302) for caller in CALLERS)


def with_token(codes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(403 if "without" in caller else code for caller, code in zip(CALLERS, codes, strict=True))


TABLE = {
    ("GET", ""): REDIRECT,
    ("GET", "admin/login/"): REDIRECT,
    **{
        (method, path): REDIRECT_UNSAFE
        for path in ("", "admin/login/")
        for method in ("POST", "PUT", "PATCH", "DELETE")
    },
    ("GET", "healthz"): EVERYBODY,
    ("GET", "readyz"): EVERYBODY,
    ("GET", "metrics"): FOR_STAFF,
    ("GET", "openapi.json"): EVERYBODY,
    ("GET", "docs"): EVERYBODY,
    ("POST", "auth/token"): EVERYBODY,
    ("POST", "auth/token/refresh"): EVERYBODY,
    ("GET", "sign-in"): FOR_STRANGERS,
    ("POST", "sign-in"): SIGN_IN,
    ("POST", "sign-out"): REDIRECT_UNSAFE,
    ("GET", "password-reset"): EVERYBODY,
    ("POST", "password-reset"): FORM,
    ("GET", "password-reset/sent"): EVERYBODY,
    ("GET", "password-reset/done"): EVERYBODY,
    ("GET", "password-reset/<uidb64>/<token>"): EVERYBODY,
    ("POST", "password-reset/<uidb64>/<token>"): FORM,
    ("GET", "dashboard"): FOR_SESSIONS,
    ("GET", "dashboard/explore"): FOR_SESSIONS,
    ("GET", "dashboard/logs"): FOR_SESSIONS,
    ("GET", "dashboard/ledger"): FOR_SESSIONS,
    ("GET", "dashboard/strings.js"): EVERYBODY,
    ("GET", "dashboard/alerts"): FOR_SESSIONS,
    ("GET", "dashboard/alerts/new"): FOR_SESSIONS,
    ("POST", "dashboard/alerts/new"): with_token(FOR_SESSIONS),
    ("GET", "dashboard/alerts/<str:id>"): owners_page(200),
    ("POST", "dashboard/alerts/<str:id>"): with_token(owners_page(200)),
    ("POST", "dashboard/alerts/<str:id>/test"): with_token(owners_page(302)),
    ("GET", "dashboard/alerts/<str:id>/delete"): owners_page(200),
    ("POST", "dashboard/alerts/<str:id>/delete"): with_token(owners_page(302)),
    ("GET", "dashboard/keys"): FOR_SESSIONS,
    ("POST", "dashboard/keys"): with_token(FOR_SESSIONS),
    ("GET", "dashboard/keys/<str:id>/revoke"): owners_page(200),
    ("POST", "dashboard/keys/<str:id>/revoke"): with_token(owners_page(302)),
    ("GET", "dashboard/applications"): FOR_SESSIONS,
    ("POST", "dashboard/applications"): with_token(FOR_SESSIONS),
    ("GET", "dashboard/applications/<str:id>"): owners_page(200),
    ("GET", "dashboard/applications/<str:id>/rotate"): owners_page(200),
    ("POST", "dashboard/applications/<str:id>/rotate"): with_token(owners_page(200)),
    ("GET", "proxies"): EVERYBODY,
    ("GET", "geo/counts"): EVERYBODY,
    ("GET", "geo/countries"): EVERYBODY,
    ("GET", "provisioning/geo-counts"): FOR_STAFF,
    ("GET", "provisioning/exhausted"): FOR_STAFF,
    ("PUT", "provisioning/users/<str:externalId>"): FOR_STAFF_UNSAFE,
    ("DELETE", "provisioning/users/<str:externalId>"): FOR_STAFF_UNSAFE,
    ("PUT", "provisioning/orders/<str:externalId>"): FOR_STAFF_UNSAFE,
    ("GET", "provisioning/orders/<str:externalId>"): FOR_STAFF,
    **{
        ("POST", f"provisioning/orders/<str:externalId>/{step}"): FOR_STAFF_UNSAFE
        for step in ("suspend", "resume", "expire")
    },
    **{
        ("POST", f"provisioning/orders/<str:externalId>/{kind}"): CREDITED
        for kind in ("top-ups", "refunds", "adjustments", "renewals")
    },
    **{
        ("GET", f"{prefix}{network}{rest}"): codes
        for prefix in BYTEFUL_PREFIXES
        for network in ("residential", "mobile")
        for rest, codes in (
            ("_ledger/search", OWN_LIST),
            ("_ledger/retrieve/<str:id>", OWN_ORDER),
            ("/summary", OWN_ORDER),
        )
    },
    **{
        (method, f"{prefix}log/{rest}"): codes
        for prefix in BYTEFUL_PREFIXES
        for method, rest, codes in (
            ("POST", "ingest", INTAKE),
            ("GET", "search", OWN_LIST),
            ("GET", "retrieve/<str:id>", NOT_THERE),
        )
    },
    **{
        ("GET", f"{prefix}{route}"): codes
        for prefix in BYTEFUL_PREFIXES
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
    ("GET", "alerts/unsubscribe/<str:token>"): EVERYBODY,
    ("POST", "alerts/unsubscribe/<str:token>"): EVERYBODY,
    ("POST", "admin/stop-viewing"): ALWAYS_STOPPED,
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
    ("GET", "orders"): OWN_LIST,
    ("POST", "analytics/ingest"): INTAKE,
    ("GET", "analytics/traffic"): OWN_ORDER,
    ("GET", "analytics/requests"): OWN_ORDER,
    ("GET", "analytics/concurrency"): OWN_ORDER,
    ("GET", "analytics/domains"): OWN_ORDER,
    ("GET", "analytics/errors"): OWN_ORDER,
    ("GET", "analytics/websites"): OWN_ORDER,
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CSRF = "a" * 32
ORDER = "provisioning/orders/<str:externalId>"
ALERTS = "api/v1/usage/alerts"
NUMBERS = {"user_id": 1, "order_id": 1}


def routes(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every path of the project with its view; the admin looks after itself."""
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            if pattern.namespace != "admin":
                yield from routes(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            yield path, pattern.callback


def methods(view: Any) -> set[str]:
    """What a view answers to. A plain function cannot be asked: it stands for GET."""
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


ROUTES = {path: methods(view) for path, view in routes(get_resolver().url_patterns)}
FOR_ANY_METHOD = {"", "admin/login/"}


def test_the_table_names_every_route_and_method() -> None:
    assert set(TABLE) == {(method, path) for path, found in ROUTES.items() for method in found}


@dataclass(frozen=True)
class People:
    owner: User
    other: User
    staff: User
    order: Order

    def caller(self, name: str) -> APIClient:
        """A client with that credential."""
        now = timezone.now()
        if "session" in name:
            client = APIClient(enforce_csrf_checks=True, raise_request_exception=False)
            client.force_login(self.staff if name.startswith("staff") else self.owner)
            if "without" not in name:
                client.cookies["csrftoken"] = CSRF
                client.credentials(HTTP_X_CSRFTOKEN=CSRF)
            return client
        if name.endswith("key"):
            scopes = ("ingest",) if "ingest" in name else ("read",)
            key, secret = issue_key(user=self.owner, name="k", scopes=scopes, now=now)
            if name == "revoked key":
                revoke_key(key, now)
            elif name == "expired key":
                ApiKey.objects.filter(pk=key.pk).update(expires_at=now - timedelta(seconds=1))
            return client_with("fnp_" + "0" * 64 if name == "unknown key" else secret)
        return self._with_token(name)

    def _with_token(self, name: str) -> APIClient:
        client = APIClient(raise_request_exception=False)
        users = {"owner": self.owner, "another customer": self.other, "staff": self.staff}
        user = users.get(name) or User.objects.get_or_create(username="gone")[0]
        if name != "nobody":
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {RefreshToken.for_user(user).access_token}")
        if name == "inactive user":
            User.objects.filter(pk=user.pk).update(is_active=False)
        return client

    def call(self, client: APIClient, method: str, path: str) -> Any:
        """A correct request, about what the owner owns, and not one too many."""
        cache.clear()
        if path.startswith("analytics/") and method == "GET" and path.rpartition("/")[2] not in ("graph", "breakdown"):
            day = f"{timezone.now():%Y-%m-%d}"
            return client.get(f"/{path}", {"from": day, "to": day, "orderId": self.order.published_id})
        if path == "geo/countries" and method == "GET":
            return client.get(f"/{path}", {"type": "residential-giga"})
        bodies: dict[str, Callable[[], Any]] = {
            "auth/token": lambda: {"username": self.owner.username, "password": PASSWORD},
            "auth/token/refresh": lambda: {"refresh": str(RefreshToken.for_user(self.owner))},
            "api-keys": lambda: {"name": "a new one"},
            "applications": lambda: {"name": "a new one"},
            "applications/<str:id>/rotate-keys": dict,
            "analytics/ingest": lambda: {"logs": [documented_row()]},
            f"{ORDER}/adjustments": lambda: {"reference": "r", "bytes": 1},
            f"{ORDER}/top-ups": lambda: {"reference": "r", "bytes": 1},
            f"{ORDER}/refunds": lambda: {"reference": "r", "bytes": 1},
            f"{ORDER}/renewals": lambda: {"reference": "r", "bytes": 1},
            **{
                f"{prefix}log/ingest": lambda: {"logs": [{"log_request_datetime": f"{timezone.now()}", **NUMBERS}]}
                for prefix in BYTEFUL_PREFIXES
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
        if method == "DELETE" and path.startswith("provisioning/users"):
            User.objects.update_or_create(username="to go", defaults={"external_id": "g"})
            address = "/provisioning/users/g"
        return client.generic(method, address, body, content_type="application/json")

    def address(self, path: str) -> str:
        if "<str:externalId>" in path:
            User.objects.filter(pk=self.owner.pk).update(external_id="c")
            Order.objects.filter(pk=self.order.pk).update(external_id="x")
            return f"/{path.replace('<str:externalId>', 'x' if 'orders' in path else 'c')}"
        if path.startswith((f"{ALERTS}/", "dashboard/alerts/<str:id>")):
            alert = Alert.objects.filter(order=self.order).first() or services.create(
                self.order, 43, Alert.Method.EMAIL, now=timezone.now()
            )
            return f"/{path.replace('<str:id>', alert_id(alert.pk))}"
        if "<str:token>" in path:
            token = mail.unsubscribe_link(self.order, "somebody@example.com").rpartition("/")[2]
            return f"/alerts/unsubscribe/{token}"
        if "log/retrieve" in path or "log_summary/retrieve" in path:
            return f"/{path.replace('<str:id>', '0190a5c8-0000-7000-8000-000000000000')}"
        if "_ledger/retrieve" in path:
            network = "mobile" if "mobile" in path else "residential"
            entry = LedgerEntry.objects.get(order__product__network=network)
            return f"/{path.replace('<str:id>', ids.encode(f'{network}_ledger', entry.pk))}"
        if path.startswith("api/v1/subscriptions/"):
            return f"/{path.replace('<str:id>', f'sub_{self.order.published_id}')}"
        path = path.replace("<str:start>", "1500000000").replace("<str:end>", "1500000001")
        if path.startswith(("applications/", "dashboard/applications/")):
            application = applications.create(self.owner, "an API", timezone.now())[0]
            return f"/{path.replace('<str:id>', application.published_id)}"
        if "<str:id>" in path:
            key = issue_key(user=self.owner, name="its own", scopes=("read",), now=timezone.now())[0]
            path = path.replace("<str:id>", key.published_id)
        path = path.replace("<uidb64>/<token>", "MQ/no-token")
        assert "<" not in path, f"say what to put into {path}"
        return f"/{path}"


@pytest.fixture
def people(engine: Any, alice: User, bob: User, staff: User, make_order: Callable[..., Order]) -> People:
    make_order(alice, network=Network.MOBILE, limit=10**9)
    return People(alice, bob, staff, make_order(alice, limit=10**9))


@pytest.mark.parametrize(("method", "path"), TABLE)
def test_every_caller_gets_what_the_table_says(method: str, path: str, people: People) -> None:
    got = {name: people.call(people.caller(name), method, path).status_code for name in CALLERS}
    assert got == dict(zip(CALLERS, TABLE[method, path], strict=True))


@pytest.mark.parametrize("path", sorted(ROUTES.keys() - FOR_ANY_METHOD))
def test_any_other_method_is_refused_even_to_staff(path: str, people: People) -> None:
    client = people.caller("staff")
    for method in {*METHODS, "OPTIONS", "TRACE", "PROPFIND"} - ROUTES[path]:
        assert people.call(client, method, path).status_code in (302, 401, 403, 405), method


@pytest.mark.parametrize("path", [path for method, path in TABLE if method == "GET"])
def test_head_is_answered_as_get_is(path: str, people: People) -> None:
    for name in ("owner", "another customer", "owner's ingest key", "nobody"):
        got = people.call(people.caller(name), "GET", path)
        address = f"{got.wsgi_request.path}?{got.wsgi_request.META['QUERY_STRING']}"
        assert people.caller(name).head(address).status_code == got.status_code
