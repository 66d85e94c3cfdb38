"""The journal as staff see it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client as Browser
from django.utils import timezone

from accounts.models import User
from analytics.ingest import journal
from analytics.models import IngestBatch
from analytics.traffic.ingest_columns import to_inbox
from fonproxy.clickhouse.client import Client
from tests.analytics.helpers import body_of, documented_row, push

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


def test_batches_are_listed_with_their_account_and_state(
    clean_engine: Client, browser: Browser, client_for: Any, worker: User
) -> None:
    push(client_for(worker, "ingest"), [documented_row()], **{"Idempotency-Key": "edge-1-17"})
    waiting(worker)
    page = browser.get(BATCHES).content.decode()
    assert all(text in page for text in ("edge-1-17", "worker", "in the engine", "waiting", "Unattributed traffic"))


def test_the_list_takes_as_many_queries_for_many_batches_as_for_one(
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
