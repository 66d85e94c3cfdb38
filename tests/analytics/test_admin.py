"""What staff see of the journal."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client as Browser
from django.utils import timezone

from accounts.models import User
from analytics import journal
from analytics.models import Batch
from analytics.traffic.rows import to_inbox
from fonproxy.clickhouse.client import Client
from tests.analytics.helpers import body_of, documented_row, push

pytestmark = pytest.mark.django_db

BATCHES = "/admin/analytics/batch/"


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(User.objects.create_superuser("admin", "admin@example.com", "x"))
    return browser


def waiting(worker: User) -> Batch:
    table = to_inbox(body_of([documented_row()]), timezone.now())
    origin = journal.Origin(worker.pk, Batch.Route.TRAFFIC)
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
        assert browser.get("/admin/analytics/group/").status_code == 200


def test_voiding_takes_back_what_was_not_sent_and_leaves_a_trace(
    engine: Client, browser: Browser, worker: User
) -> None:
    batch, sent = waiting(worker), waiting(worker)
    journal.group([sent.pk], timezone.now())
    answer = browser.post(BATCHES, {"action": "void", "_selected_action": [batch.pk, sent.pk]}, follow=True)
    assert "1 of 2 batches were voided" in answer.content.decode()
    assert set(Batch.objects.filter(is_void=True)) == {batch}
    assert LogEntry.objects.get().object_id == str(batch.pk)


def test_staff_without_the_permission_to_delete_batches_cannot_void_them(
    engine: Client, staff: User, worker: User
) -> None:
    batch, browser = waiting(worker), Browser()
    browser.force_login(staff)
    browser.post(BATCHES, {"action": "void", "_selected_action": [batch.pk]})
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
    assert f"the order belongs to user {alice.pk}" in page
    assert page.count("no such order") == page.count("no such user or order") == 1


def test_only_staff_see_unattributed_traffic(engine: Client, alice: User) -> None:
    browser = Browser()
    browser.force_login(alice)
    assert browser.get(f"{BATCHES}unattributed/").status_code == 302
