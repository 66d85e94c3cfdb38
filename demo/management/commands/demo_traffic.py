"""``manage.py demo_traffic``: simulates gateways that push their traffic as it happens, until stopped."""

from __future__ import annotations

import logging
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec
from django.core.management.base import BaseCommand
from django.utils import timezone

from demo import accounts, live
from fonproxy.timerange import floor

EVERY: Final = timedelta(seconds=2)
TIMEOUT_SECONDS: Final = 30

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Push the demo's traffic as it happens to a FonProxy started with --demo. Ctrl-C stops it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="URL of the demo")

    def handle(self, *, url: str, **options: Any) -> None:
        follow(url, _ticks())


def _ticks() -> Iterator[datetime]:
    """Yields the current time, and again after each pause."""
    while True:
        yield floor(timezone.now(), EVERY)
        time.sleep(EVERY.total_seconds())


def follow(url: str, ticks: Iterator[datetime]) -> None:
    """Pushes at each tick the traffic since the previous one."""
    since = until = next(ticks)
    for tick in ticks:
        if since == until:  # otherwise the last push failed: repeat it, because part of it may have been accepted
            until = tick
        try:
            push(url, since, until)
        except OSError as error:  # refused, or the server is not reachable
            log.warning("the demo's traffic could not be pushed: %s", error)
        else:
            since = until


def push(url: str, since: datetime, until: datetime) -> None:
    """Pushes the traffic in between; a repetition has the same keys."""
    found = live.reports(since, until)
    for path, rows in (("/log/ingest", found.requests), ("/analytics/ingest", found.rows)):
        if rows:
            _post(f"{url}{path}", rows, key=f"demo live {since:%Y-%m-%dT%H:%M:%S} {until:%Y-%m-%dT%H:%M:%S}")


def _post(url: str, rows: list[dict[str, Any]], *, key: str) -> None:
    headers = {"x-api-key": accounts.ingest_key(), "Content-Type": "application/json", "Idempotency-Key": key}
    try:
        with urlopen(Request(url, msgspec.json.encode({"logs": rows}), headers), timeout=TIMEOUT_SECONDS):  # noqa: S310  # the URL is the operator's
            return
    except HTTPError as refusal:
        if refusal.code != HTTPStatus.CONFLICT:  # otherwise it was accepted before, with fewer rows
            raise
