"""Two web processes, two workers and beat on PostgreSQL, Redis and a ClickHouse endpoint, all on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests import clickhouse, postgres, redis
from tests.serving import ACCOUNTS, ROOT, Server, environment, free_port, manage
from tests.usage.alerts.receiver import Mailbox, smtp

WORKERS = 2


class CeleryProcess:
    """A Celery process as compose.yaml starts it; it can be killed and started again."""

    def __init__(self, directory: Path, settings: dict[str, str], role: str, number: int = 0) -> None:
        self._own = directory / f"{role}-{number}"
        self._own.mkdir()
        options = {
            "worker": ["--pool", "threads", "--concurrency", "4", "--hostname", f"{role}-{number}@%h"],
            "beat": ["--schedule", str(self._own / "schedule")],
        }
        self._command = [sys.executable, "-m", "celery", "-A", "fonproxy", role, *options[role]]
        self._environment = environment(self._own) | settings
        self.start()

    def start(self) -> Self:
        with (self._own / "log").open("ab") as log:
            self.process = subprocess.Popen(self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Stack:
    settings: dict[str, str]
    web: list[Server]
    workers: list[CeleryProcess]
    beat: CeleryProcess
    postgres: postgres.Postgres
    endpoint: clickhouse.Endpoint
    redis: redis.Redis
    mailbox: Mailbox
    directory: Path


@contextmanager
def running() -> Iterator[Stack]:
    mail_port = free_port()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fonproxy-stack-")))
        database = stack.enter_context(postgres.server(postgres.required_programs()))
        cache = stack.enter_context(redis.running())
        endpoint = stack.enter_context(clickhouse.running())
        settings = {
            "DATABASE_URL": f"postgres://{postgres.USER}@127.0.0.1:{database.port}/postgres",
            "REDIS_URL": cache.url(),
            "CLICKHOUSE_URL": endpoint.url,
            "EMAIL_URL": f"smtp://127.0.0.1:{mail_port}",
            "FONPROXY_SECRET_KEY": "the same for all of them and longer than fifty characters",
            "FONPROXY_TRUSTED_PROXIES": "1",
            "FONPROXY_THROTTLE_READ": "1000000/min",
            "FONPROXY_THROTTLE_PUBLIC": "1000000/min",
        }
        mailbox = stack.enter_context(smtp(mail_port))
        keys = _prepare(directory / "setup", settings)
        jobs: list[CeleryProcess] = []
        stack.callback(_end, jobs)
        for number in range(WORKERS):
            jobs.append(CeleryProcess(directory, settings, "worker", number))
        jobs.append(CeleryProcess(directory, settings, "beat"))
        *workers, beat = jobs
        web: list[Server] = []
        stack.callback(lambda: [server.stop() for server in web if server.process.poll() is None])
        for number in range(2):
            web.append(_web(directory / f"web-{number}", keys, settings))
        yield Stack(settings, web, workers, beat, database, endpoint, cache, mailbox, directory)


def _prepare(directory: Path, settings: dict[str, str]) -> str:
    """Both schemas and the demo's accounts; returns their keys as JSON."""
    directory.mkdir()
    made = manage(directory, "clickhouse_migrate", **settings)
    assert made.returncode == 0, made.stderr
    found = subprocess.run(
        [sys.executable, "-c", ACCOUNTS],
        cwd=ROOT,
        env=environment(directory) | settings,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)
    return found.stdout


def _web(directory: Path, keys: str, settings: dict[str, str]) -> Server:
    directory.mkdir()
    (directory / "keys.json").write_text(keys)
    return Server(directory, **settings)


def _end(jobs: list[CeleryProcess]) -> None:
    for job in jobs:
        job.process.terminate()
    for job in jobs:
        try:
            job.process.wait(20)
        except subprocess.TimeoutExpired:
            job.kill()
