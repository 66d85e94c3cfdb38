"""What staff see of the journal."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client as Browser
from django.utils import timezone

from accounts.models import User
from analytics.ingest import journal
from analytics.models import ExitLookup, IngestBatch
from analytics.traffic.ingest_columns import to_inbox
from fonproxy.clickhouse.client import Client
from tests.analytics.helpers import body_of, documented_row, engine_unavailable, push, recently

pytestmark = pytest.mark.django_db

BATCHES = "/admin/analytics/ingestbatch/"


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(User.objects.create_superuser("admin", "admin@example.com", "x"))
    return browser


def waiting(worker: User) -> IngestBatch:
    table = to_inbox(body_of([documented_row()]), timezone.now())
    origin = journal.BatchOrigin(worker.pk, IngestBatch.Route.TRAFFIC)
    return journal.record(origin, table, now=timezone.now(), claimed=True)[0]


def test_batches_are_listed_with_who_pushed_them_and_their_state(
    clean_engine: Client, browser: Browser, client_for: Any, worker: User
) -> None:
    push(client_for(worker, "ingest"), [documented_row()], **{"Idempotency-Key": "edge-1-17"})
    waiting(worker)
    page = browser.get(BATCHES).content.decode()
    assert all(text in page for text in ("edge-1-17", "worker", "in the engine", "waiting", "Unattributed traffic"))


def test_the_list_asks_as_many_questions_for_many_batches_as_for_one(
    browser: Browser, worker: User, django_assert_max_num_queries: Any, engine: Client
) -> None:
    for _ in range(20):
        waiting(worker)
    with django_assert_max_num_queries(8):
        assert browser.get(BATCHES).status_code == 200
        assert browser.get("/admin/analytics/insertblock/").status_code == 200


def test_a_batch_names_the_days_of_rows_without_an_order(engine: Client, browser: Browser, worker: User) -> None:
    batch = waiting(worker)
    [(_, day)] = batch.dirty_days
    page = browser.get(f"{BATCHES}{batch.pk}/change/").content.decode()
    assert f"<li>no such order, {day}</li>" in page


def test_voiding_discards_unsent_batches_and_is_logged(engine: Client, browser: Browser, worker: User) -> None:
    batch, sent = waiting(worker), waiting(worker)
    journal.form_block([sent.pk], timezone.now())
    answer = browser.post(
        BATCHES, {"action": "void", "_selected_action": [batch.pk, sent.pk], "confirmed": "yes"}, follow=True
    )
    assert "1 of 2 batches were voided" in answer.content.decode()
    assert set(IngestBatch.objects.filter(is_void=True)) == {batch}
    assert LogEntry.objects.get().object_id == str(batch.pk)


def test_staff_without_the_permission_to_delete_batches_cannot_void_them(
    engine: Client, helper: User, worker: User
) -> None:
    batch, browser = waiting(worker), Browser()
    browser.force_login(helper)
    browser.post(BATCHES, {"action": "void", "_selected_action": [batch.pk], "confirmed": "yes"})
    batch.refresh_from_db()
    assert not batch.is_void


def test_unattributed_traffic_is_listed_with_the_reason(
    clean_engine: Client, browser: Browser, client_for: Any, worker: User, alice: User, bob: User, make_order: Any
) -> None:
    order = make_order(alice)
    push(
        client_for(worker, "ingest"),
        [
            documented_row(user_id=alice.pk, order_id=order.pk),
            documented_row(user_id=bob.pk, order_id=order.pk),
            documented_row(user_id=alice.pk, order_id=777),
            documented_row(user_id=888, order_id=777),
        ],
    )
    page = browser.get(f"{BATCHES}unattributed/").content.decode()
    assert "the order belongs to alice" in page
    assert page.count("no such order") == page.count("no such user or order") == 1


def test_only_staff_see_unattributed_traffic(engine: Client, alice: User) -> None:
    browser = Browser()
    browser.force_login(alice)
    assert browser.get(f"{BATCHES}unattributed/").status_code == 302


LOOKUPS = "/admin/analytics/exitlookup/"


def test_staff_learn_who_used_an_exit_address_and_that_they_asked_is_kept(
    clean_engine: Client, browser: Browser, client_for: Any, worker: User, alice: User, make_order: Any
) -> None:
    order = make_order(alice, logins=("alice-1",))
    pushed = {"user_id": alice.pk, "order_id": order.pk, "ip_out": "192.0.2.7", "ip_from": "203.0.113.9"}
    push(
        client_for(worker, "ingest"),
        [
            documented_row(**pushed, domain="victim.example"),
            documented_row(**pushed, domain="other.example"),
            documented_row(ip_out="192.0.2.8", domain="elsewhere.example"),
            documented_row(ip_out="2001:db8::7", user_id=888, domain="unknown.example"),
        ],
    )

    def look_up(**changes: str) -> str:
        at = recently()
        asked = {"address": "192.0.2.7", "at_0": f"{at:%Y-%m-%d}", "at_1": f"{at:%H:%M:%S}", "within": "15"}
        answer = browser.post(f"{LOOKUPS}add/", {**asked, "note": "case 12", **changes}, follow=True)
        assert answer.status_code == 200
        return str(answer.content.decode())

    page = look_up()
    for expected in (f"/admin/orders/order/{order.pk}/", "alice-1", "203.0.113.9", "other.example, victim.example"):
        assert expected in page
    assert "elsewhere.example" not in page
    assert "other.example" not in look_up(domain="Victim.example")
    assert "888 (unknown)" in look_up(address="2001:db8::7")
    assert "Nobody" in look_up(at_0="2020-01-01")
    assert "Must lie in the years" in look_up(at_0="0001-01-01", within="1440")
    assert "Must lie in the years" in look_up(at_0="9999-12-31", within="1440")
    assert "Enter a valid IPv4 or IPv6 address." in look_up(address="here")
    kept = browser.get(LOOKUPS).content.decode()
    assert kept.count("case 12") == 4
    assert ExitLookup.objects.filter(author__username="admin").count() == 4
    lookup = ExitLookup.objects.latest("pk")
    browser.get(f"{LOOKUPS}{lookup.pk}/change/")
    said = LogEntry.objects.filter(object_id=str(lookup.pk)).order_by("pk").values_list("change_message", flat=True)
    assert [message.split()[0] for message in said] == ["Added", "Looked", "Looked"]  # who looks again is on record too


def test_an_exit_lookup_while_the_engine_is_unavailable_says_so(clean_engine: Client, browser: Browser) -> None:
    lookup = ExitLookup.objects.create(address="192.0.2.7", at=recently())
    with engine_unavailable():
        assert "ClickHouse is unavailable" in browser.get(f"{LOOKUPS}{lookup.pk}/change/").content.decode()


def test_the_result_of_an_exit_lookup_is_exported_and_that_is_kept(
    clean_engine: Client, browser: Browser, client_for: Any, worker: User, alice: User, make_order: Any, helper: User
) -> None:
    order = make_order(alice, logins=("alice-1",))
    pushed = {"user_id": alice.pk, "order_id": order.pk, "ip_out": "192.0.2.7", "ip_from": "203.0.113.9"}
    push(client_for(worker, "ingest"), [documented_row(**pushed, domain="victim.example")])
    lookup = ExitLookup.objects.create(address="192.0.2.7", at=recently())
    lines = browser.get(f"{LOOKUPS}{lookup.pk}/csv/").getvalue().decode("utf-8-sig").splitlines()
    assert lines[0] == "user,order,login,client,first,last,requests,bytes,domains,ports"
    assert lines[1].startswith(f"alice,{order.published_id},alice-1,203.0.113.9,")
    assert LogEntry.objects.get().change_message.startswith("Looked up.")
    with engine_unavailable():
        answer = browser.get(f"{LOOKUPS}{lookup.pk}/csv/", follow=True)
        assert "ClickHouse is unavailable" in answer.content.decode()
    browser.force_login(helper)
    assert browser.get(f"{LOOKUPS}{lookup.pk}/csv/").status_code == 403
