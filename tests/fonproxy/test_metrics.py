"""What ``GET /metrics`` exports, and that dashboard and alert rules query nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import yaml
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from rest_framework.test import APIClient

from accounts.models import User
from analytics.models import IngestBatch, InsertBlock
from analytics.tasks import replay_journal
from fonproxy import job_health
from fonproxy.clickhouse.client import Client
from orders.models import Order
from tests.analytics.helpers import documented_row, engine_unavailable, push
from tests.usage.helpers import carry

OPS = settings.BASE_DIR / "ops"


@pytest.fixture
def samples(clean_engine: Client, staff: User, client_for: Callable[..., APIClient]) -> Callable[..., dict[str, float]]:
    """The samples of a metric, by their labels as text."""
    api = client_for(staff, "metrics")

    def samples(name: str) -> dict[str, float]:
        answer = api.get("/metrics")
        assert answer.status_code == 200
        return {
            ",".join(f"{key}={sample.labels[key]}" for key in sorted(sample.labels)): sample.value
            for family in text_string_to_metric_families(answer.content.decode())
            for sample in family.samples
            if sample.name == name
        }

    return samples


def test_requests_are_counted_by_route_and_status_never_by_raw_path(
    samples: Callable[..., dict[str, float]], client_for: Callable[..., APIClient], alice: User
) -> None:
    name = "fonproxy_http_request_seconds_count"
    before = samples(name)
    client = client_for(alice)
    client.get("/analytics/traffic", {"from": "2026-01-01"})
    for path in ("/made/up", "/made/up/too", "/log/retrieve/nonsense"):
        client.get(path)
    client.generic("BREW", "/orders")
    after = samples(name)
    gained = {labels: count - before.get(labels, 0) for labels, count in after.items() if "route=metrics" not in labels}
    assert {labels: count for labels, count in gained.items() if count} == {
        "method=GET,route=analytics/traffic,status=400": 1,
        "method=GET,route=unknown,status=404": 2,
        "method=GET,route=log/retrieve/<str:id>,status=404": 1,
        "method=other,route=orders,status=405": 1,
    }


def test_rows_bytes_and_engine_time_are_counted(
    samples: Callable[..., dict[str, float]], client_for: Callable[..., APIClient], worker: User
) -> None:
    rows, size = (samples(f"fonproxy_ingest_{what}_total").get("route=traffic", 0) for what in ("rows", "bytes"))
    inserts = samples("fonproxy_engine_seconds_count").get("kind=insert inbox,outcome=ok", 0)
    push(client_for(worker, "ingest"), [documented_row(), documented_row()])
    assert samples("fonproxy_ingest_rows_total")["route=traffic"] == rows + 2
    assert samples("fonproxy_ingest_bytes_total")["route=traffic"] > size + 100
    assert samples("fonproxy_engine_seconds_count")["kind=insert inbox,outcome=ok"] == inserts + 1


def test_the_journal_s_depth_and_age_are_exported(
    samples: Callable[..., dict[str, float]], client_for: Callable[..., APIClient], worker: User
) -> None:
    assert samples("fonproxy_journal_rows") == {"": 0}
    with engine_unavailable():
        push(client_for(worker, "ingest"), [documented_row()])
        assert samples("fonproxy_journal_rows") == {"": 1}
        assert samples("fonproxy_journal_batches") == {"": 1}
        assert 0 < samples("fonproxy_journal_age_seconds")[""] < 60


def test_a_job_s_age_is_exported_once_it_has_finished(samples: Callable[..., dict[str, float]]) -> None:
    cache.clear()
    assert samples("fonproxy_job_age_seconds") == {}
    from usage.tasks import evaluate_alerts

    job_health.note_end(evaluate_alerts)
    assert 0 <= samples("fonproxy_job_age_seconds")["job=evaluate-alerts"] < 60
    assert job_health.ages()["reconcile-ledgers"] is None
    cache.set("job-ended:evaluate-alerts", (timezone.now() - timedelta(hours=1)).timestamp())
    assert samples("fonproxy_job_age_seconds")["job=evaluate-alerts"] >= 3600


def test_a_job_that_failed_or_had_no_clickhouse_has_not_finished(
    samples: Callable[..., dict[str, float]], alice: User, make_order: Callable[..., Order]
) -> None:
    cache.clear()
    carry(make_order(alice, limit=10**9), timezone.now(), 1)
    from usage.tasks import keep_accounts

    job_health.note_end(keep_accounts, state="FAILURE")
    with engine_unavailable():
        assert keep_accounts() is False
        job_health.note_end(keep_accounts, retval=keep_accounts())
    assert job_health.ages()["keep-accounts"] is None
    assert job_health.stuck(uptime=10)["keep-accounts"] is False
    assert job_health.stuck(uptime=600)["keep-accounts"] is True
    assert job_health.stuck(uptime=600)["reconcile-ledgers"] is False
    assert keep_accounts() is True
    job_health.note_end(keep_accounts, retval=True)
    assert job_health.stuck(uptime=600)["keep-accounts"] is False
    cache.set("job-ended:keep-accounts", (timezone.now() - timedelta(hours=1)).timestamp())
    assert samples("fonproxy_job_stuck")["job=keep-accounts"] == 1
    assert job_health.stuck(uptime=10)["evaluate-alerts"] is False


def test_a_replay_without_clickhouse_has_not_finished(
    clean_engine: Client, worker: User, client_for: Callable[..., APIClient]
) -> None:
    with engine_unavailable():
        assert push(client_for(worker, "ingest"), [documented_row()]).status_code == 204
        IngestBatch.objects.update(claimed_until=timezone.now())
        InsertBlock.objects.update(claimed_until=timezone.now())
        assert replay_journal() is False


@pytest.mark.django_db
def test_dashboard_and_alert_rules_use_existing_metrics(clean_engine: Client) -> None:
    dashboard = json.loads((OPS / "grafana" / "fonproxy.json").read_text())
    rules = yaml.safe_load((OPS / "prometheus" / "alerts.yml").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    names = {name for text in asked for name in re.findall(r"\bfonproxy_\w+", text)}
    families = {re.sub(r"_(?:count|sum|bucket|total)$", "", name) for name in names}
    assert families <= {family.name for family in REGISTRY.collect()}
    jobs = {job for text in asked for found in re.findall(r'job=~"([^"]+)"', text) for job in found.split("|")}
    assert jobs <= set(settings.CELERY_BEAT_SCHEDULE)


@pytest.mark.django_db
def test_metrics_are_served_while_a_store_is_unavailable(
    clean_engine: Client, samples: Callable[..., dict[str, float]]
) -> None:
    assert samples("fonproxy_store_up")["store=clickhouse"] == 1
    with engine_unavailable():
        assert samples("fonproxy_store_up") == {"store=database": 1, "store=clickhouse": 0, "store=cache": 1}
        assert samples("fonproxy_journal_rows") == {"": 0}
