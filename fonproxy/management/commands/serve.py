"""``manage.py serve``: the whole product in one process."""

from __future__ import annotations

import logging
import os
import threading
from argparse import ArgumentParser
from typing import Any, Final

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string

from fonproxy.backup import BackupError, consistency_check
from fonproxy.clickhouse import migrator
from fonproxy.clickhouse.client import close_client, get_client
from fonproxy.clickhouse.errors import EngineError
from fonproxy.embedded_celery import EmbeddedJobs
from fonproxy.memory import freeze_loaded_objects, release_library_pages, share_arenas
from fonproxy.server.batches import Batches
from fonproxy.server.listener import HttpServer
from fonproxy.wsgi import application

# By name, because this package imports no app.
RECOVER: Final = "analytics.ingest.flusher.recover"
# Requests to these paths that arrive at the same time are handled together: the handler, and the status of a response
# whose headers it reuses.
HANDLED_TOGETHER: Final = {
    "/analytics/ingest": ("analytics.traffic.push_batches.accept", 204),
    "/log/ingest": ("analytics.byteful.log.push_batches.accept", 204),
    "/1.0/public/user/log/ingest": ("analytics.byteful.log.push_batches.accept", 204),
    "/gateway/authorize": ("orders.gateway.sign_in_batches.authorize", 200),
    "/gateway/radius/authorize": ("orders.gateway.sign_in_batches.radius", 200),
    "/gateway/gost/auth": ("orders.gateway.sign_in_batches.gost", 200),
}
FLUSHER: Final = "analytics.ingest.flusher.flusher"

log = logging.getLogger(__name__)


def local_url(host: str, port: int) -> str:
    """The URL of this server for a browser on this machine."""
    reachable = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104  # compared
    bracketed = f"[{reachable}]" if ":" in reachable and not reachable.startswith("[") else reachable
    return f"http://{bracketed}:{port}"


class Command(BaseCommand):
    help = "Prepare both stores, then serve the API, the pages, the admin and the jobs in one process."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="create demo accounts and print their credentials")
        parser.add_argument("--live", action="store_true", help="with --demo: keep pushing traffic like its gateways")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *, demo: bool, live: bool, host: str, port: int, **options: Any) -> None:
        share_arenas()
        try:
            engine = (
                get_client()
            )  # first, because the process that holds its directory may also change the relational store
            consistency_check.refuse_half_moved(engine)
            consistency_check.refuse_rows_without_users(engine)
            call_command("migrate", verbosity=0)
            migrator.migrate(engine)
        except (BackupError, EngineError) as error:
            close_client()
            raise CommandError(str(error)) from error
        # Settles batches accepted by a process that died before requests are answered.
        import_string(RECOVER)()
        batches = [
            Batches(path, import_string(handler), status) for path, (handler, status) in HANDLED_TOGETHER.items()
        ]
        try:
            server = HttpServer(application, host, port, batches)
        except OSError as error:
            raise CommandError(f"Cannot listen on {host}:{port}: {error.strerror}.") from error
        if not settings.HAS_PUBLIC_URL:
            settings.PUBLIC_URL = local_url(host, server.port)  # mails and snippets link to this URL
        if demo:
            settings.STAFF_SECOND_FACTOR = False  # so that demo staff can sign in with the printed password
            settings.GEO_DUMMY = True
            call_command("seed_demo", url=f"http://{host}:{server.port}", stdout=self.stdout)
        release_library_pages()  # before the threads of Python that may load libraries
        if demo and live:
            url = local_url(host, server.port)
            threading.Thread(
                target=call_command, args=("demo_traffic",), kwargs={"url": url}, name="demo-traffic", daemon=True
            ).start()
        self._run(server, host)

    def _run(self, server: HttpServer, host: str) -> None:
        jobs = None if settings.REDIS_URL else EmbeddedJobs()
        if jobs:
            jobs.start()
        flusher = import_string(FLUSHER)
        flusher.start()
        freeze_loaded_objects()
        self.stdout.write(f"FonProxy listens on http://{host}:{server.port} (Ctrl-C stops it)")
        self.stdout.flush()
        server.run()
        flusher.stop()
        log.info("stopping: requests are done, now the jobs and the engine")
        have_ended = jobs.stop() if jobs else True
        # No query may be running in the engine: the interpreter would crash at exit.
        get_client().cancel_all()
        close_client()
        if not have_ended:
            # A provider hangs. The interpreter would wait for it, and the job runs again after the next start.
            log.warning("a job is still running and is abandoned")
            logging.shutdown()
            os._exit(0)
