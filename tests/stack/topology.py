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

from tests import clickhouse, postgres, redis
from tests.serving import ACCOUNTS, ROOT, Server, environment, free_port, manage
from tests.usage.alerts.receiver import Mailbox, smtp

WORKERS = 2


@dataclass
class Stack:
    web: list[Server]
    jobs: dict[str, subprocess.Popen[bytes]]
    endpoint: clickhouse.Endpoint
    redis: redis.Redis
    mailbox: Mailbox
    logs: Path


@contextmanager
def running() -> Iterator[Stack]:
    mail_port = free_port()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fonproxy-stack-")))
        port = stack.enter_context(postgres.running(postgres.required_programs()))
        cache = stack.enter_context(redis.running())
        endpoint = stack.enter_context(clickhouse.running())
        settings = {
            "DATABASE_URL": f"postgres://{postgres.USER}@127.0.0.1:{port}/postgres",
            "REDIS_URL": cache.url(),
            "CLICKHOUSE_URL": endpoint.url,
            "EMAIL_URL": f"smtp://127.0.0.1:{mail_port}",
            "FONPROXY_SECRET_KEY": "the same for all of them, and longer than fifty characters",
            "FONPROXY_THROTTLE_READ": "1000000/min",
        }
        mailbox = stack.enter_context(smtp(mail_port))
        keys = _prepare(directory / "setup", settings)
        jobs = {
            **{f"worker-{n}": _celery(directory, settings, "worker", n) for n in range(WORKERS)},
            "beat": _celery(directory, settings, "beat", 0),
        }
        stack.callback(_end, jobs)
        web = [_web(directory / f"web-{n}", keys, settings) for n in range(2)]
        stack.callback(lambda: [server.stop() for server in web if server.process.poll() is None])
        yield Stack(web, jobs, endpoint, cache, mailbox, directory)


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


def _celery(directory: Path, settings: dict[str, str], role: str, number: int) -> subprocess.Popen[bytes]:
    """As compose.yaml starts it."""
    own = directory / f"{role}-{number}"
    own.mkdir()
    options = {
        "worker": ["--pool", "threads", "--concurrency", "4", "--hostname", f"{role}-{number}@%h"],
        "beat": ["--schedule", str(own / "schedule")],
    }
    with (own / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "fonproxy", role, *options[role]],
            cwd=ROOT,
            env=environment(own) | settings,
            stdout=log,
            stderr=log,
        )


def _end(jobs: dict[str, subprocess.Popen[bytes]]) -> None:
    for process in jobs.values():
        process.terminate()
    for process in jobs.values():
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
