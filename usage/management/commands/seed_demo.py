"""``manage.py seed_demo``: a provider to try FonProxy with, its customers and two months of their traffic."""

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
from analytics import intake
from analytics.events.rows import to_columns
from analytics.log.rows import to_request_inbox
from analytics.models import Batch
from analytics.traffic.rows import to_inbox
from analytics.writer import recover
from fonproxy.clickhouse import migrator
from fonproxy.clickhouse.client import get_client
from fonproxy.clickhouse.errors import EngineError
from fonproxy.timerange import DAY, GRAIN, floor
from usage.demo import accounts, events, geo, requests
from usage.demo.events import HOUR
from usage.demo.traffic import WORKERS, first_quarter, rows

# About 10,000 rows: large enough to be quick, small enough that little is done again after a stop.
SLICE: Final = timedelta(days=4)
EVENTS_OF: Final = timedelta(days=14)
REQUESTS_OF: Final = timedelta(days=1)


class Command(BaseCommand):
    help = "Makes what is missing of the demo's accounts and traffic, and prints how to get in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the server listens, for the examples")

    def handle(self, *, url: str, **options: Any) -> None:
        now = timezone.now()
        self._prepare()
        credentials = accounts.make_accounts(now)
        geo.make_counts(now)
        try:
            self._push_traffic(now)
            self._push_requests(now)
            self._push_events(credentials.application, now)
        except EngineError as error:
            raise CommandError(str(error)) from error
        shell = settings.DATA_DIR / "demo.env"
        _write_private(
            shell,
            f"export BASE_URL={url}\n"
            f"export READ_KEY={credentials.read_key}\n"
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
             READ_KEY reads as alice, INGEST_KEY pushes as a proxy worker; APP_ID with APP_WRITE_KEY and APP_READ_KEY
             stand for the events of an API of hers
"""
        )

    def _prepare(self) -> None:
        """Both stores as they must be: the command may be the first to run on a new machine."""
        call_command("migrate", verbosity=0)
        try:
            migrator.migrate(get_client())
        except EngineError as error:
            raise CommandError(str(error)) from error

    def _push_traffic(self, now: datetime) -> None:
        """Pushes the quarters that are missing, as a worker would, up to the last whole one.

        May die anywhere: a slice is taken in whole or not at all, and what was taken in is settled before it is
        asked where to go on.
        """
        recover()
        if Batch.objects.filter(settled_at=None).exists():
            raise CommandError("Batches are still on their way to ClickHouse: try again in a minute.")
        worker = User.objects.get(username="worker")
        start, end = _missing(now), floor(now, GRAIN)
        with tqdm(total=max(end - start, timedelta(0)).days, unit=" days", disable=None, file=sys.stderr) as progress:
            for since, until in _slices(start, end):
                body = msgspec.json.encode({"logs": list(rows(since, until))})
                key = f"demo {since:%Y-%m-%dT%H:%M} {until:%Y-%m-%dT%H:%M}"
                intake.accept(body, to_inbox, account_id=worker.pk, route=Batch.Route.TRAFFIC, key=key, now=now)
                progress.update((until - since).days)

    def _push_requests(self, now: datetime) -> None:
        """The same for single requests, those of the missing whole hours at once."""
        since, until = _first_missing_hour_of_requests(now), floor(now, HOUR)
        if since >= until:
            return
        worker = User.objects.get(username="worker")
        body = msgspec.json.encode({"logs": list(requests.requests(since, until))})
        key = f"demo {since:%Y-%m-%dT%H} {until:%Y-%m-%dT%H}"
        intake.accept(body, to_request_inbox, account_id=worker.pk, route=Batch.Route.LOG, key=key, now=now)

    def _push_events(self, application: Application, now: datetime) -> None:
        """The same for the events of the demo's application, day by day up to the last whole hour."""
        since, until = _first_missing_hour(application, now), floor(now, HOUR)
        while since < until:
            end = min(since + DAY, until)
            body = msgspec.json.encode(list(events.events(since, end)))
            key = f"demo {since:%Y-%m-%dT%H} {end:%Y-%m-%dT%H}"
            intake.accept(
                body,
                lambda body, now: to_columns(body, application, now),
                account_id=application.user_id,
                route=Batch.Route.EVENTS,
                key=key,
                now=now,
            )
            since = end


def _first_missing_hour(application: Application, now: datetime) -> datetime:
    newest = "SELECT max(ts), count() FROM events WHERE application_id = {application_id:UInt64}"
    [(ts, found)] = get_client().fetch(newest, {"application_id": application.pk}, tag="seed_demo")
    return floor(ts, HOUR) + HOUR if found else floor(now - EVENTS_OF, DAY)


def _first_missing_hour_of_requests(now: datetime) -> datetime:
    newest = (
        "SELECT max(ts), count() FROM requests WHERE ts >= {first:DateTime('UTC')} AND local_address = {address:String}"
    )
    first = floor(now, HOUR) - REQUESTS_OF
    [(ts, found)] = get_client().fetch(newest, {"first": first, "address": requests.WORKER_ADDRESS}, tag="seed_demo")
    return floor(ts, HOUR) + HOUR if found else first


def _missing(now: datetime) -> datetime:
    """The first quarter that the demo's workers have not reported on."""
    first = first_quarter(now)
    newest = (
        "SELECT max(bucket), count() FROM traffic_detail"
        " WHERE bucket >= {first:DateTime('UTC')} AND worker IN {workers:Array(String)}"
    )
    [(bucket, found)] = get_client().fetch(newest, {"first": first, "workers": WORKERS}, tag="seed_demo")
    return bucket + GRAIN if found else first


def _slices(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    while start < end:
        yield start, min(start + SLICE, end)
        start += SLICE


def _write_private(path: Path, text: str) -> None:
    """Readable by its owner only from the start."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
