"""Every view of the admin requires a permission, including our own views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver

from accounts.models import ApiKey, Application, AuditRecord, User
from orders.models import LedgerEntry, Order

# What everybody who may enter the admin sees: the first page (whose numbers need permissions), the own password, and
# pages that answer by what they are asked for.
OPEN = {
    "index",
    "login",
    "logout",
    "password_change",
    "password_change_done",
    "jsi18n",
    "autocomplete",
    "view_on_site",
}


def named(patterns: list[Any], prefix: str = "/admin/") -> Iterator[tuple[str | None, str]]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from named(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            yield pattern.name, path


VIEWS = [path for name, path in named(admin.site.get_urls()) if name not in OPEN and "app_label" not in path and name]


def address(path: str, number: int) -> str:
    for placeholder in ("<path:object_id>", "<int:number>", "<id>"):
        path = path.replace(placeholder, str(number))
    return path.replace("<slug:name>", "top-up").replace("<str:day>", "2026-11-30")


@pytest.fixture
def somebody(alice: User, make_order: Callable[..., Order], make_key: Callable[..., str]) -> User:
    make_order(alice, limit=100, logins=("a",))
    make_key(alice)
    return alice


ACTIONS = (
    "delete_selected",
    "suspend",
    "expire",
    "revoke",
    "end_keys",
    "void",
    "send_again",
    "refresh_now",
    "make_available",
)


def signed_in(user: User) -> Client:
    browser = Client(raise_request_exception=False)
    browser.force_login(user)
    return browser


def number_for(path: str, user: User) -> int:
    return user.pk if "/user/" in path or "/customers/" in path else Order.objects.get().pk


def test_staff_without_permissions_see_nothing(helper: User, somebody: User, engine: Any) -> None:
    browser = signed_in(helper)
    for path in VIEWS:
        for method in ("GET", "POST"):
            answer = browser.generic(method, address(path, number_for(path, somebody)))
            is_missing = (
                answer.headers.get("Location") == "/admin/"
            )  # Django's response for the history of an unknown object
            assert is_missing or answer.status_code in (403, 404, 405), (method, path)


def test_staff_with_view_permissions_only_change_nothing(viewer: User, somebody: User, engine: Any) -> None:
    def state() -> list[Any]:
        models = (User, Order, LedgerEntry, ApiKey, Application, AuditRecord)
        return [list(model._default_manager.order_by("pk").values()) for model in models]

    browser = signed_in(viewer)
    before = state()
    for path in VIEWS:
        number = number_for(path, somebody)
        bodies: list[dict[str, Any]] = [{"post": "yes"}]
        if path.count("/") == 4:  # a list, with its actions
            bodies += [
                {"action": name, "_selected_action": [number], "confirmed": "yes", "post": "yes"} for name in ACTIONS
            ]
        for body in bodies:
            assert browser.post(address(path, number), body).status_code != 500, (path, body)
    assert state() == before
