from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from fonproxy.clickhouse import client as client_module
from fonproxy.clickhouse.client import Client
from fonproxy.clickhouse.embedded import EmbeddedClient
from fonproxy.clickhouse.errors import EngineFault, EngineUnavailable, QueryTooHeavy
from fonproxy.clickhouse.profiles import ALWAYS, Profile
from fonproxy.logs import request_id
from tests.fonproxy.clickhouse.batches import batch

SECOND = Profile("second", (*ALWAYS, ("max_execution_time", 1)))


def test_threads_never_get_answers_of_others(clean_engine: Client) -> None:
    now = datetime.now(UTC)
    for user in range(16):
        clean_engine.insert("inbox", batch(50, now=now, user_id=user, count=user), token=f"user {user}")
    sql = "SELECT user_id, sum(count), {echo:String} FROM traffic WHERE user_id = {user:UInt64} GROUP BY user_id"

    def read(user: int) -> list[object]:
        return [
            answer
            for turn in range(150)
            if (answer := clean_engine.fetch(sql, {"user": user, "echo": f"{user} {turn}"}, tag="tests"))
            != [(user, 50 * user, f"{user} {turn}")]
        ]

    with ThreadPoolExecutor(16) as pool:
        assert [wrong for wrongs in pool.map(read, range(16)) for wrong in wrongs] == []


def test_a_failed_query_leaves_nothing_for_the_next_answer(engine: Client) -> None:
    with pytest.raises(EngineFault):
        engine.fetch("SELECT number, throwIf(number = 70000) FROM numbers(100000)", tag="tests")

    assert engine.fetch("SELECT 1", tag="tests") == [(1,)]


def test_connections_of_ended_threads_are_closed(engine: Client) -> None:
    assert isinstance(engine, EmbeddedClient)
    for _ in range(5):
        thread = threading.Thread(target=lambda: engine.fetch("SELECT 1", tag="tests"))
        thread.start()
        thread.join()

    assert len([owner for owner in engine._connections if not owner.is_alive()]) <= 1


def test_reading_profiles_cannot_write(engine: Client) -> None:
    for statement in (
        "INSERT INTO inbox (count) SELECT 1",
        "DROP TABLE inbox",
        "CREATE TABLE n (a Int8) ENGINE = Null",
    ):
        with pytest.raises(EngineFault):
            engine.fetch(statement, tag="tests")


def test_a_query_stops_at_the_time_limit_of_its_profile(engine: Client) -> None:
    with pytest.raises(QueryTooHeavy) as caught:
        engine.fetch(
            "SELECT count() FROM numbers(1e12) WHERE NOT ignore(sipHash64(number))", profile=SECOND, tag="tests"
        )

    assert caught.value.code == 159


def test_a_query_stops_at_the_memory_limit_of_its_profile(engine: Client) -> None:
    tight = Profile("tight", (*ALWAYS, ("max_memory_usage", 20_000_000)))

    with pytest.raises(QueryTooHeavy):
        engine.fetch("SELECT number FROM numbers(1e7) GROUP BY number FORMAT Null", profile=tight, tag="tests")


def test_a_query_says_which_code_and_which_request_it_serves(engine: Client) -> None:
    token = request_id.set("abc-1'\\")
    try:
        [(comment,)] = engine.fetch("SELECT getSetting('log_comment')", tag="tests.comment")
    finally:
        request_id.reset(token)

    assert json.loads(comment) == {"tag": "tests.comment", "request_id": "abc-1'\\"}


def test_a_query_without_tag_is_refused(engine: Client) -> None:
    with pytest.raises(ValueError, match="tag"):
        engine.fetch("SELECT 1", tag="")


def test_an_insert_without_token_is_refused(engine: Client) -> None:
    with pytest.raises(ValueError, match="token"):
        engine.insert("inbox", batch(1), token="")


def test_a_name_that_is_no_identifier_is_refused(engine: Client) -> None:
    with pytest.raises(ValueError, match="name"):
        engine.insert("inbox", pa.table({"count) SELECT 1 --": [1]}), token="name")


def test_an_insert_into_a_missing_table_is_a_fault(engine: Client) -> None:
    with pytest.raises(EngineFault) as caught:
        engine.insert("nowhere", pa.table({"n": [1]}), token="missing")

    assert caught.value.code == 60


def test_running_queries_can_be_stopped(engine: Client) -> None:
    caught: list[Exception] = []

    def read() -> None:
        try:
            engine.fetch("SELECT count() FROM numbers(1e12) WHERE NOT ignore(sipHash64(number))", tag="tests")
        except Exception as error:
            caught.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(0.3)
    engine.cancel_all()
    thread.join(10)

    assert [type(error) for error in caught] == [EngineUnavailable]


def _python(code: str, data: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own: one process opens one engine."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.BASE_DIR,
        env={**os.environ, "FONPROXY_DATA_DIR": str(data), "DJANGO_SETTINGS_MODULE": "fonproxy.settings"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_second_process_is_told_who_has_the_directory(engine: Client) -> None:
    result = _python(
        "from fonproxy.clickhouse.client import get_client\n"
        "from fonproxy.clickhouse.errors import EngineUnavailable\n"
        "try: get_client()\n"
        "except EngineUnavailable as error: print(error)\n",
        settings.DATA_DIR,
    )

    assert result.stdout.startswith("Another FonProxy process is using the data in"), result.stderr
    assert str(settings.DATA_DIR) in result.stdout


def test_closing_while_queries_run_ends_the_process_cleanly(tmp_path: Path) -> None:
    result = _python(
        """
import threading, time
from fonproxy.clickhouse.client import close_client, get_client
from fonproxy.clickhouse.errors import EngineUnavailable
client = get_client()
endings = []
def read():
    try: client.fetch("SELECT count() FROM numbers(1e12) WHERE NOT ignore(sipHash64(number))", tag="t")
    except EngineUnavailable as error: endings.append(error)
threads = [threading.Thread(target=read) for _ in range(3)]
for thread in threads: thread.start()
time.sleep(0.5)
close_client()
for thread in threads: thread.join()
try: client.fetch("SELECT 1", tag="t")
except EngineUnavailable as error: print(len(endings), error)
print(get_client().fetch("SELECT 2", tag="t"))
close_client()
""",
        tmp_path,
    )

    assert result.stdout == "3 The engine of this process is closed.\n[(2,)]\n", result.stderr
    assert result.returncode == 0


def test_a_server_is_not_spoken_to_yet(settings: Any) -> None:
    settings.CLICKHOUSE_URL = "clickhouse://db"

    with pytest.raises(ImproperlyConfigured, match="CLICKHOUSE_URL"):
        client_module._open()
