"""The Idempotency-Key over HTTP."""

from __future__ import annotations

import gzip
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.server.refusals import assert_error, assert_refused
from tests.serving import Server, body_of, manage, row


def named_body() -> tuple[str, bytes]:
    domain = f"{uuid.uuid4().hex}.example"
    return domain, body_of(row(domain=domain))


@pytest.mark.parametrize("key", ["", "a" * 129, "caf\u00e9", "\t", "a\x01b", "a\x7f"])
def test_a_key_is_1_to_128_printable_characters_of_ascii(server: Server, key: str) -> None:
    before = server.requests_of_alice()
    received = server.raw(
        b"POST /analytics/ingest HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\nIdempotency-Key: %b\r\n"
        % (len(body_of(row())), key.encode("latin-1"))
        + b"x-api-key: %b\r\n\r\n%b" % (server.keys["INGEST_KEY"].encode(), body_of(row()))
    )
    assert received.split(b" ", 2)[1] == b"400"
    assert server.requests_of_alice() == before


def test_the_malformed_key_is_named(server: Server) -> None:
    [error] = assert_refused(server, body_of(row()), Idempotency_Key="a" * 129)["errors"]
    assert error["field"] == "Idempotency-Key"


@pytest.mark.parametrize("key", ["a", " b c ", "~" * 128, '"quoted", and more'])
def test_the_same_body_again_is_not_stored_again(server: Server, key: str) -> None:
    domain, body = named_body()
    packed = gzip.compress(body)
    assert server.post(body, Idempotency_Key=key).status == 204
    assert server.post(body, Idempotency_Key=key).status == 204
    assert server.post(packed, Idempotency_Key=key, Content_Encoding="gzip").status == 204
    assert server.requests_of_alice(domain) == 1


def test_the_same_key_sent_by_many_at_once_stores_once(server: Server) -> None:
    domain, body = named_body()
    key = uuid.uuid4().hex
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: server.post(body, Idempotency_Key=key).status, range(16)))
    assert statuses == [204] * 16
    assert server.requests_of_alice(domain) == 1


def test_another_body_is_a_conflict_even_a_bad_one(server: Server) -> None:
    key = uuid.uuid4().hex
    assert server.post(body_of(row()), Idempotency_Key=key).status == 204
    before = server.requests_of_alice()
    for other in (body_of(row(count=2)), body_of(row()) + b" ", body_of(row(count=-1)), b""):
        error = assert_error(server.post(other, Idempotency_Key=key), 409)
        assert error["message"] == "request.idempotency_conflict"
    assert server.requests_of_alice() == before


def test_a_refused_body_leaves_its_key_free(server: Server) -> None:
    key = uuid.uuid4().hex
    domain, body = named_body()
    refused = [
        server.post(b"{}", Idempotency_Key=key),
        server.post(body_of(row(count=-1)), Idempotency_Key=key),
        server.post(body, Idempotency_Key=key, Content_Encoding="br"),
        server.post(body, Idempotency_Key=key, x_api_key="fnp_" + "0" * 64),
        server.post(body, Idempotency_Key=key, x_api_key=server.keys["READ_KEY"]),
    ]
    assert [answer.status for answer in refused] == [400, 400, 415, 401, 403]
    assert server.requests_of_alice(domain) == 0
    assert server.post(body, Idempotency_Key=key).status == 204
    assert server.requests_of_alice(domain) == 1


def test_a_key_belongs_to_its_account(server: Server) -> None:
    # The command works while the server runs, because it does not use the engine.
    issued = manage(server.data_dir, "create_api_key", "bob", "--name", "second worker", "--scope", "ingest")
    assert (issued.returncode, issued.stderr) == (0, "")
    domain, body = named_body()
    key = uuid.uuid4().hex
    assert server.post(body, Idempotency_Key=key).status == 204
    assert server.post(body, Idempotency_Key=key, x_api_key=issued.stdout.strip()).status == 204
    assert server.requests_of_alice(domain) == 2


def test_without_a_key_everything_counts(server: Server) -> None:
    domain, body = named_body()
    assert [server.post(body).status for _ in range(3)] == [204] * 3
    assert server.requests_of_alice(domain) == 3
