"""``manage.py seed_demo``: creates a provider to try FonProxy with, its customers and two months of their traffic."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from tqdm import tqdm

from accounts.models import Application, User
from analytics.apinalytics.ingest_columns import to_columns
from analytics.byteful.log.ingest_columns import to_request_inbox
from analytics.ingest import service as ingest_service
from analytics.ingest.flusher import recover
from analytics.models import IngestBatch
from analytics.traffic.ingest_columns import to_inbox
from demo import accounts, events, geo, live
from demo.events import HOUR
from demo.traffic import WORKERS, first_quarter, rows
from fonproxy.clickhouse import migrator
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.errors import EngineError
from fonproxy.timerange import DAY, GRAIN, floor

# About 10,000 rows: fast, and an interruption repeats little work.
SLICE: Final = timedelta(days=4)
EVENTS_OF: Final = timedelta(days=14)
REQUESTS_OF: Final = timedelta(days=1)


class Command(BaseCommand):
    help = "Create missing demo accounts and traffic, and print how to sign in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="URL of the server, for the examples")

    def handle(self, *, url: str, **options: Any) -> None:
        now = timezone.now()
        self._say("Preparing the database and the ClickHouse tables ...")
        self._prepare()
        self._say("Creating demo accounts, orders and static IPs ...")
        credentials = accounts.make_accounts(now)
        geo.make_counts(now)
        self._say("Pushing two months of demo traffic (about ten seconds on first start) ...")
        try:
            self._push_traffic(now)
            self._push_events(credentials.application, now)
        except EngineError as error:
            raise CommandError(str(error)) from error
        shell = settings.DATA_DIR / "demo.env"
        _write_private(
            shell,
            f"export BASE_URL={url}\n"
            f"export READ_KEY={credentials.read_key}\n"
            f"export WRITE_KEY={credentials.write_key}\n"
            f"export INGEST_KEY={credentials.ingest_key}\n"
            f"export APP_ID={credentials.application.published_id}\n"
            f"export APP_WRITE_KEY={credentials.application_keys.write}\n"
            f"export APP_READ_KEY={credentials.application_keys.read}\n",
        )
        self.stdout.write(
            f"""
  Admin      {url}/admin/   user admin, password {credentials.password}
  Customers  {url}/dashboard   {", ".join(accounts.CUSTOMERS)}, with the same password
  Reference  {url}/docs
  Keys       in {os.path.relpath(shell)}, to be read into a shell with:  . {os.path.relpath(shell)}
             READ_KEY reads as alice, WRITE_KEY reads and changes her alerts, INGEST_KEY pushes as a proxy worker;
             APP_ID with APP_WRITE_KEY and APP_READ_KEY stand for the events of an API of hers
"""
        )

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _prepare(self) -> None:
        """Migrates both stores, because this may be the first command on a new machine."""
        call_command("migrate", verbosity=0)
        try:
            migrator.migrate(get_client())
        except EngineError as error:
            raise CommandError(str(error)) from error

    def _push_traffic(self, now: datetime) -> None:
        """Pushes the missing quarter-hours as gateways would, up to the last whole one; parts of the last day as single
        requests.

        It may die at any point: a slice is accepted whole or not at all, and accepted slices are settled before the
        next run determines where to continue. Single requests are pushed before the rows that mark progress, and a
        repetition has the same key.
        """
        recover()
        if IngestBatch.objects.filter(settled_at=None).exists():
            raise CommandError("Batches still wait for ClickHouse: try again in a minute.")
        start, end = _missing(now), floor(now, GRAIN)
        logged_from = end - REQUESTS_OF
        with tqdm(total=max(end - start, timedelta(0)).days, unit=" days", disable=None, file=sys.stderr) as progress:
            for since, until in _slices(start, min(end, logged_from), SLICE):
                self._push(IngestBatch.Route.TRAFFIC, list(rows(since, until)), since, until, now)
                progress.update((until - since).days)
            for since, until in _slices(max(start, logged_from), end, HOUR):
                found = live.reports(since, until)
                self._push(IngestBatch.Route.LOG, found.requests, since, until, now)
                self._push(IngestBatch.Route.TRAFFIC, found.rows, since, until, now)

    def _push(
        self, route: IngestBatch.Route, found: list[dict[str, Any]], since: datetime, until: datetime, now: datetime
    ) -> None:
        if found:
            to_table = to_inbox if route == IngestBatch.Route.TRAFFIC else to_request_inbox
            body, key = msgspec.json.encode({"logs": found}), f"demo {since:%Y-%m-%dT%H:%M} {until:%Y-%m-%dT%H:%M}"
            worker = User.objects.get(username="worker")
            ingest_service.accept(body, to_table, account_id=worker.pk, route=route, key=key, now=now)

    def _push_events(self, application: Application, now: datetime) -> None:
        """The same for the events of the demo's application, day by day up to the last whole hour."""
        since, until = _first_missing_hour(application, now), floor(now, HOUR)
        while since < until:
            end = min(since + DAY, until)
            body = msgspec.json.encode(list(events.events(since, end)))
            key = f"demo {since:%Y-%m-%dT%H} {end:%Y-%m-%dT%H}"
            ingest_service.accept(
                body,
                lambda body, now: to_columns(body, application, now),
                account_id=application.user_id,
                route=IngestBatch.Route.EVENTS,
                key=key,
                now=now,
            )
            since = end


def _first_missing_hour(application: Application, now: datetime) -> datetime:
    newest = "SELECT max(ts), count() FROM events WHERE application_id = {application_id:UInt64}"
    [(ts, found)] = get_client().fetch(newest, {"application_id": application.pk}, tag="seed_demo")
    return floor(ts, HOUR) + HOUR if found else floor(now - EVENTS_OF, DAY)


def _missing(now: datetime) -> datetime:
    """The first quarter-hour without traffic of the demo."""
    first = first_quarter(now)
    newest = (
        "SELECT max(bucket), count() FROM traffic_detail"
        " WHERE bucket >= {first:DateTime('UTC')} AND worker IN {workers:Array(String)}"
    )
    [(bucket, found)] = get_client().fetch(newest, {"first": first, "workers": WORKERS}, tag="seed_demo")
    return bucket + GRAIN if found else first


def _slices(start: datetime, end: datetime, length: timedelta) -> Iterator[tuple[datetime, datetime]]:
    while start < end:
        yield start, min(start + length, end)
        start += length


def _write_private(path: Path, text: str) -> None:
    """Creates the file readable by its owner only."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
