"""``manage.py serve``: the whole product in one process."""

from __future__ import annotations

import logging
import os
import signal
import threading
from argparse import ArgumentParser
from types import FrameType
from typing import Any, Final

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string

from fonproxy.backup import BackupError, owners
from fonproxy.clickhouse import migrator
from fonproxy.clickhouse.client import close_client, get_client
from fonproxy.clickhouse.errors import EngineError
from fonproxy.jobs import EmbeddedJobs
from fonproxy.server import make_server, run_until
from fonproxy.wsgi import application

# By name: the floor imports no app.
RECOVER: Final = "analytics.writer.recover"

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Prepares both stores, then serves the API, the admin and the jobs in one process."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="make demo accounts and print their credentials")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *, demo: bool, host: str, port: int, **options: Any) -> None:
        try:
            engine = get_client()  # first: whoever holds its directory may also change the relational store
            owners.refuse_rows_without_users(engine)
            call_command("migrate", verbosity=0)
            migrator.migrate(engine)
        except (BackupError, EngineError) as error:
            close_client()
            raise CommandError(str(error)) from error
        # What a process that died had taken in is settled before anyone can ask for it.
        import_string(RECOVER)()
        try:
            server = make_server(application, host, port)
        except OSError as error:
            raise CommandError(f"Cannot listen on {host}:{port}: {error.strerror}.") from error
        if demo:
            call_command("seed_demo", url=f"http://{host}:{server.effective_port}", stdout=self.stdout)
        self._run(server, host)

    def _run(self, server: Any, host: str) -> None:
        stop = threading.Event()

        def stop_serving(number: int, frame: FrameType | None) -> None:
            stop.set()
            server.pull_trigger()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop_serving)
        jobs = None if settings.REDIS_URL else EmbeddedJobs()
        if jobs:
            jobs.start()
        self.stdout.write(f"FonProxy listens on http://{host}:{server.effective_port} (Ctrl-C stops it)")
        self.stdout.flush()
        run_until(stop, server)
        log.info("stopping: requests are done, now the jobs and the engine")
        have_ended = jobs.stop() if jobs else True
        # The engine must not be left with a query running: the interpreter would crash on its way out.
        get_client().cancel_all()
        close_client()
        if not have_ended:
            # Some provider hangs. The interpreter would wait for it, and the job is done again after the next start.
            log.warning("a job was still running and is left behind")
            logging.shutdown()
            os._exit(0)
