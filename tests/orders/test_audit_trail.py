"""Every write through the provisioning API leaves a row that names only numbers and that nobody changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client as Browser
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import audit_trail
from accounts.audit_trail import Actor
from accounts.models import ApiKey, AuditRecord, User
from fonproxy.clickhouse.client import Client
from orders.models import Order

BODIES: dict[str, Any] = {
    "top-ups": {"reference": "t", "bytes": 5},
    "refunds": {"reference": "r", "bytes": 5},
    "adjustments": {"reference": "a", "bytes": 5},
    "renewals": {"reference": "n"},
    "suspend": {},
    "resume": {},
    "expire": {},
}


@pytest.fixture
def shop(staff: User, client_for: Callable[..., APIClient], clean_engine: Client) -> Callable[..., Any]:
    client = client_for(staff, "provision")

    def call(method: str, path: str, **body: Any) -> Any:
        return client.generic(method, f"/provisioning/{path}", json.dumps(body), content_type="application/json")

    return call


def sell(shop: Callable[..., Any]) -> Order:
    assert shop("PUT", "users/c-1", username="carol", email="carol@example.com").status_code == 201
    order = {"user": "c-1", "name": "10 GB", "proxyType": "residential-giga", "trafficLimitBytes": 10**9}
    assert shop("PUT", "orders/o-1", **order).status_code == 201
    return Order.objects.get()


def test_every_write_leaves_a_row_that_names_the_user_and_the_key(shop: Callable[..., Any], staff: User) -> None:
    order = sell(shop)
    for action, body in BODIES.items():
        assert shop("POST", f"orders/o-1/{action}", **body).status_code in (200, 201)
    rows = AuditRecord.objects.order_by("pk").values_list("action", "kind", "number")
    assert list(rows) == [
        ("put", "user", order.user_id),
        ("put", "order", order.pk),
        *(
            (action, "order", order.pk)
            for action in ("top_up", "refund", "adjustment", "renew", "suspend", "resume", "expire")
        ),
    ]
    assert set(AuditRecord.objects.values_list("actor_id", "key_id")) == {(staff.pk, ApiKey.objects.get().pk)}


def test_a_refused_write_leaves_no_row(shop: Callable[..., Any]) -> None:
    sell(shop)
    assert shop("POST", "orders/o-1/top-ups", reference="t", bytes=5).status_code == 201
    before = AuditRecord.objects.count()
    assert shop("POST", "orders/o-1/top-ups", reference="t", bytes=6).status_code == 409
    assert shop("PUT", "users/c-1", email="nonsense").status_code == 400
    assert AuditRecord.objects.count() == before


def test_rows_of_an_erased_customer_stay_with_ids_only(shop: Callable[..., Any], staff: User) -> None:
    number = sell(shop).user_id
    assert shop("DELETE", "users/c-1").status_code == 200
    rows = AuditRecord.objects.filter(kind="user", number=number).order_by("pk")
    assert list(rows.values_list("action", flat=True)) == ["put", "erasure begun", "erased"]
    kept = str(list(AuditRecord.objects.values()))
    assert not any(name in kept for name in ("carol", "c-1", "o-1", "10 GB", staff.username))


@pytest.mark.parametrize("statement", ["UPDATE audit_records SET action = 'x'", "DELETE FROM audit_records"])
def test_the_database_refuses_to_change_a_row(statement: str, db: None) -> None:
    audit_trail.record("put", AuditRecord.Kind.USER, 7, actor=Actor(), now=timezone.now())
    before = list(AuditRecord.objects.values())
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert list(AuditRecord.objects.values()) == before


def test_superusers_can_view_audit_rows_but_not_change_them(db: None) -> None:
    audit_trail.record("put", AuditRecord.Kind.USER, 4711, actor=Actor(), now=timezone.now())
    browser = Browser()
    browser.force_login(User.objects.create_superuser("root"))
    assert "4711" in browser.get("/admin/accounts/auditrecord/").content.decode()
    change = f"/admin/accounts/auditrecord/{AuditRecord.objects.get().pk}/change/"
    assert browser.post(change, {"action": "x"}).status_code == 403
    assert browser.get("/admin/accounts/auditrecord/add/").status_code == 403


def test_the_list_and_the_customers_page_name_the_key_of_each_change(
    shop: Callable[..., Any], staff: User, engine: Any
) -> None:
    order = sell(shop)
    audit_trail.record("put", AuditRecord.Kind.USER, order.user_id, actor=Actor(10**6, 10**7), now=timezone.now())
    key = ApiKey.objects.get()
    browser = Browser()
    browser.force_login(User.objects.create_superuser("root"))
    for page in (
        "/admin/accounts/auditrecord/",
        "/admin/accounts/auditrecord/csv/",
        f"/admin/customers/{order.user_id}/",
    ):
        answer = browser.get(page)
        text = answer.getvalue().decode() if answer.streaming else answer.content.decode()
        assert f"{key.name} ({key.prefix}…)" in text, page
        assert f"{staff.username}" in text
        assert f"{10**7} (deleted)" in text
        assert key.key_hash not in text


def test_the_list_links_what_was_changed_and_numbers_what_was_deleted(
    shop: Callable[..., Any], browser: Browser
) -> None:
    order = sell(shop)
    for kind, number in ((AuditRecord.Kind.WEBHOOK, 4711), (AuditRecord.Kind.ORDER, 4712)):
        audit_trail.record("delete", kind, number, actor=Actor(), now=timezone.now())
    text = browser.get("/admin/accounts/auditrecord/").content.decode()
    assert f'<a href="/admin/customers/{order.user_id}/">User {order.user}</a>' in text
    assert f'<a href="/admin/orders/order/{order.pk}/change/">Order {order}</a>' in text
    assert "Webhook 4711 (deleted)" in text
    assert "Order 4712 (deleted)" in text
