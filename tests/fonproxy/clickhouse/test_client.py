"""The behaviour that both implementations of the engine's client must have: run on both."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from fonproxy.clickhouse.client import Client
from fonproxy.clickhouse.errors import EngineFault, EngineUnavailable, QueryTooHeavy
from fonproxy.clickhouse.profiles import ALWAYS, MOVE, Profile
from fonproxy.logs import request_id
from tests.fonproxy.clickhouse.batches import batch
from tests.fonproxy.clickhouse.processes import is_running
from tests.thoroughness import drawn, examples
from tests.waiting import wait_for

SECOND = Profile("second", (*ALWAYS, ("max_execution_time", 1)))


@drawn
def test_threads_never_get_another_threads_answer(clean_engine: Client) -> None:
    now = datetime.now(UTC)
    for user in range(16):
        clean_engine.insert("inbox", batch(50, now=now, user_id=user, count=user), token=f"user {user}")
    sql = "SELECT user_id, sum(count), {echo:String} FROM traffic WHERE user_id = {user:UInt64} GROUP BY user_id"

    def read(user: int) -> list[object]:
        return [
            answer
            for turn in range(examples(150))
            if (answer := clean_engine.fetch(sql, {"user": user, "echo": f"{user} {turn}"}, tag="tests"))
            != [(user, 50 * user, f"{user} {turn}")]
        ]

    with ThreadPoolExecutor(16) as pool:
        assert [wrong for wrongs in pool.map(read, range(16)) for wrong in wrongs] == []


def test_a_failed_query_leaves_nothing_for_the_next_answer(engine: Client) -> None:
    with pytest.raises(EngineFault):
        engine.fetch("SELECT number, throwIf(number = 70000) FROM numbers(100000)", tag="tests")

    assert engine.fetch("SELECT 1", tag="tests") == [(1,)]


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


def test_a_query_comment_names_its_code_and_request(engine: Client) -> None:
    token = request_id.set("abc-1'\\")
    try:
        [(comment,)] = engine.fetch("SELECT getSetting('log_comment')", tag="tests.comment")
    finally:
        request_id.reset(token)

    assert json.loads(comment) == {"tag": "tests.comment", "request_id": "abc-1'\\"}


def test_a_query_without_tag_is_refused(engine: Client) -> None:
    with pytest.raises(ValueError, match="tag"):
        engine.fetch("SELECT 1", tag="")


@pytest.fixture
def two_rows(engine: Client) -> Iterator[str]:
    """A table with a number that one row lacks, and a time in milliseconds."""
    columns = "id UInt64, number Nullable(UInt64), at DateTime64(3, 'UTC')"
    engine.command(f"CREATE TABLE two_rows ({columns}) ENGINE = MergeTree ORDER BY id", tag="tests")
    at = pa.array([1_700_000_000_123] * 2, pa.timestamp("ms", tz="UTC"))
    rows = {"id": pa.array([1, 2], pa.uint64()), "number": pa.array([None, 2**60 + 1], pa.uint64()), "at": at}
    engine.insert("two_rows", pa.table(rows), token="two rows")
    yield "two_rows"
    engine.command("DROP TABLE two_rows SYNC", tag="tests")


def test_missing_numbers_large_numbers_and_milliseconds_are_inserted_as_they_are(engine: Client, two_rows: str) -> None:
    at = datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC)
    found = engine.fetch(f"SELECT id, number, at FROM {two_rows} ORDER BY id", tag="tests")
    assert found == [(1, None, at), (2, 2**60 + 1, at)]


def test_streamed_blocks_contain_all_rows_of_the_table(engine: Client, two_rows: str) -> None:
    blocks = engine.stream(f"SELECT id, number FROM {two_rows} ORDER BY id", profile=MOVE, tag="tests")
    assert [row for block in blocks for row in zip(*block.to_pydict().values(), strict=True)] == [
        (1, None),
        (2, 2**60 + 1),
    ]
    assert engine.fetch("SELECT 1", tag="tests") == [(1,)]


def test_streaming_a_missing_table_is_a_programming_error(engine: Client) -> None:
    with pytest.raises(EngineFault):
        list(engine.stream("SELECT 1 FROM missing", profile=MOVE, tag="tests"))


def test_an_insert_without_token_is_refused(engine: Client) -> None:
    with pytest.raises(ValueError, match="token"):
        engine.insert("inbox", batch(1), token="")


def test_a_name_that_is_no_identifier_is_refused(engine: Client) -> None:
    with pytest.raises(ValueError, match="name"):
        engine.insert("inbox", pa.table({"count) SELECT 1 --": [1]}), token="name")


def test_an_insert_into_a_missing_table_is_a_programming_error(engine: Client) -> None:
    with pytest.raises(EngineFault) as caught:
        engine.insert("nowhere", pa.table({"n": [1]}), token="missing")

    assert caught.value.code == 60


def test_running_queries_can_be_stopped(engine: Client) -> None:
    caught: list[Exception] = []

    def read() -> None:
        try:
            engine.fetch("SELECT count() FROM numbers(1e12) WHERE NOT ignore(sipHash64(number))", tag="endless")
        except Exception as error:
            caught.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    wait_for(lambda: is_running(engine, "endless"))
    engine.cancel_all()
    thread.join(60)

    assert [type(error) for error in caught] == [EngineUnavailable]
