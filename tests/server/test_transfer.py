"""Bodies in transfer: compressed, too large, cut short, or framed wrongly."""

from __future__ import annotations

import gzip
import json
import random
import socket
import uuid
import zlib
from codecs import BOM_UTF8
from contextlib import suppress

import pytest

from tests.server.refusals import assert_error, assert_refused
from tests.server.wire import request
from tests.serving import Answer, Server, body_of, row
from tests.waiting import wait_for

MIB = 2**20
LIMIT = 64 * MIB


def packed(*rows: dict[str, object]) -> bytes:
    return gzip.compress(body_of(*rows))


def named_row() -> tuple[str, dict[str, object]]:
    domain = f"{uuid.uuid4().hex}.example"
    return domain, row(domain=domain)


def head(server: Server, *lines: str, key: str = "INGEST_KEY") -> bytes:
    given = [
        f"Host: 127.0.0.1:{server.port}",
        f"x-api-key: {server.keys[key]}",
        "Content-Type: application/json",
        *lines,
    ]
    return "\r\n".join(["POST /analytics/ingest HTTP/1.1", *given, "", ""]).encode()


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


def answers(received: bytes) -> list[int]:
    """The statuses of the received responses."""
    return [int(line.split()[1]) for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.")]


# --- gzip ---


@pytest.mark.parametrize("coding", ["gzip", "GZIP", " gzip "])
def test_a_gzipped_body_is_unpacked(server: Server, coding: str) -> None:
    domain, sent = named_row()
    assert server.post(packed(sent), Content_Encoding=coding).status == 204
    assert server.requests_of_alice(domain) == 1


def test_several_members_are_one_body(server: Server) -> None:
    domain, sent = named_row()
    body = body_of(sent)
    members = b"".join(gzip.compress(body[n : n + 7]) for n in range(0, len(body), 7))
    assert server.post(members, Content_Encoding="gzip").status == 204
    assert server.requests_of_alice(domain) == 1


def test_a_body_may_have_ten_thousand_members_and_no_more(server: Server) -> None:
    domain, sent = named_row()
    empty = gzip.compress(b"")
    assert server.post(empty * 9_999 + packed(sent), Content_Encoding="gzip").status == 204
    assert server.requests_of_alice(domain) == 1
    refused = assert_refused(server, empty * 10_000 + packed(sent), Content_Encoding="gzip")
    assert "10,000 gzip members" in refused["detail"]
    assert_refused(server, empty * 3_000_000, Content_Encoding="gzip")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        body_of(row()),
        packed(row())[:-1],
        packed(row())[:9],
        packed(row()) + b"\0",
        packed(row()) + b"more",
        packed(row())[:-8] + bytes(8),
        zlib.compress(body_of(row())),
        gzip.compress(packed(row())),
    ],
    ids=["empty", "plain", "cut", "header", "zero after it", "more after it", "checksum", "zlib", "twice"],
)
def test_a_body_that_is_not_gzipped_json_is_refused(server: Server, body: bytes) -> None:
    assert_refused(server, body, Content_Encoding="gzip")


def test_gzip_has_an_older_name(server: Server) -> None:
    domain, sent = named_row()
    assert server.post(packed(sent), Content_Encoding="X-GZIP").status == 204
    assert server.requests_of_alice(domain) == 1


def test_a_byte_order_mark_before_json_is_not_part_of_it(server: Server) -> None:
    domain, sent = named_row()
    marked = BOM_UTF8 + body_of(sent)
    assert server.post(marked).status == server.post(gzip.compress(marked), Content_Encoding="gzip").status == 204
    assert server.requests_of_alice(domain) == 2
    assert server.post(BOM_UTF8).status == 400
    signed_in = server.call(
        "POST",
        "/auth/token",
        BOM_UTF8 + json.dumps({"username": "alice", "password": server.keys["PASSWORD"]}).encode(),
        Content_Type="application/json",
    )
    assert signed_in.status == 200


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip", "x"])
def test_other_content_encodings_are_refused(server: Server, coding: str) -> None:
    assert_refused(server, body_of(row()), 415, Content_Encoding=coding)


def test_a_gzip_bomb_is_refused_before_it_is_fully_unpacked(server: Server) -> None:
    sixteen = gzip.compress(bytes(16 * MIB))
    assert_refused(server, gzip.compress(bytes(LIMIT + 1)), 413, Content_Encoding="gzip")
    assert_refused(server, sixteen * 1000, 413, Content_Encoding="gzip")
    assert_refused(server, sixteen * 4, 400, Content_Encoding="gzip")  # not too large, just not JSON


# --- size ---


def test_one_hundred_thousand_rows_are_accepted_and_one_more_is_refused(server: Server) -> None:
    domain, sent = named_row()
    text = json.dumps(sent)
    rows = ",".join([text] * 100_000)
    assert "100,001" in assert_refused(server, f'{{"logs":[{rows},{text}]}}'.encode(), 413)["detail"]
    assert server.post(f'{{"logs":[{rows}]}}'.encode()).status == 204
    assert server.requests_of_alice(domain) == 100_000


def test_64_mebibytes_are_accepted_and_one_more_byte_is_refused(server: Server) -> None:
    domain, sent = named_row()
    body = body_of(sent)
    assert_refused(server, body.ljust(LIMIT + 1), 413)
    assert_refused(server, gzip.compress(body.ljust(LIMIT + 1), 1), 413, Content_Encoding="gzip")
    assert server.post(body.ljust(LIMIT)).status == 204
    assert server.requests_of_alice(domain) == 1


@pytest.mark.parametrize("size", [65 * MIB, 66 * MIB, 200 * MIB, 2**63])
@pytest.mark.parametrize("expectation", [[], ["Expect: 100-continue"]])
def test_a_larger_content_length_is_refused_before_the_body(server: Server, size: int, expectation: list[str]) -> None:
    with server.connect() as connection:
        connection.sendall(head(server, f"Content-Length: {size}", *expectation))
        assert_error(Answer.read_from(connection), 413)
        assert connection.recv(1) == b""


def test_a_client_that_sends_an_oversized_body_anyway_receives_the_413(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(head(server, f"Content-Length: {66 * MIB}"))
        for _ in range(66):
            connection.sendall(bytes(MIB))
        assert_error(Answer.read_from(connection), 413)


def test_oversized_chunked_bodies_are_refused(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(head(server, "Transfer-Encoding: chunked"))
        for _ in range(70):
            connection.sendall(b"%x\r\n%b\r\n" % (MIB, bytes(MIB)))
        assert_error(Answer.read_from(connection), 413)


@pytest.mark.parametrize(
    ("key", "status"), [("x-api-key: fnp_" + "0" * 64, 401), ("x-api-key: {READ_KEY}", 403), ("X-None: ", 401)]
)
@pytest.mark.parametrize("framing", ["Content-Length: 50000000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", ["/analytics/ingest", "/log/ingest"])
def test_a_large_body_is_not_read_from_unauthorized_callers(
    server: Server, path: str, framing: str, key: str, status: int
) -> None:
    with server.connect() as connection:
        connection.sendall(request(f"POST {path} HTTP/1.1", "Host: localhost", key.format(**server.keys), framing))
        assert Answer.read_from(connection).status == status
        assert connection.recv(1) == b""


@pytest.mark.parametrize("path", ["/auth/token", "/api/v1/usage/alerts", "/sign-in", "/x"])
def test_no_other_route_takes_a_large_body(server: Server, path: str) -> None:
    with server.connect() as connection:
        connection.sendall(request(f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {64 * 2**10 + 1}"))
        answer = Answer.read_from(connection)
    assert answer.status == 413
    assert b"at most 64 KiB" in answer.body


def test_expect_100_continue_is_answered_for_an_acceptable_size(server: Server) -> None:
    domain, sent = named_row()
    body = body_of(sent)
    with server.connect() as connection:
        connection.sendall(head(server, f"Content-Length: {len(body)}", "Expect: 100-continue"))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert Answer.read_from(connection).status == 204
    assert server.requests_of_alice(domain) == 1


# --- framing ---


def test_a_chunked_body_is_accepted(server: Server) -> None:
    domain, sent = named_row()
    body = body_of(sent)
    received = server.raw(head(server, "Transfer-Encoding: chunked") + chunked(body[:5], body[5:]))
    assert answers(received) == [204]
    assert server.requests_of_alice(domain) == 1


@pytest.mark.parametrize(
    "line", ["1" * 200_000, '1;more="' + "a" * 200_000, "0\r\nTrailer: " + "a" * 200_000, "x", "-1"]
)
def test_chunks_have_short_lines_and_lengths_in_hexadecimal(server: Server, line: str) -> None:
    received = server.raw(head(server, "Transfer-Encoding: chunked") + line.encode() + b"\r\n")
    assert answers(received) == [400]


@pytest.mark.parametrize("path", ["/analytics/ingest", "/auth/token"])
def test_megabytes_of_chunk_extensions_are_refused(server: Server, path: str) -> None:
    chunks = [b'1;more="%b"\r\n{\r\n' % (b"a" * 30_000)] * 100
    key = f"x-api-key: {server.keys['INGEST_KEY']}"
    start = request(f"POST {path} HTTP/1.1", "Host: localhost", key, "Transfer-Encoding: chunked")
    assert answers(server.raw(start + b"".join(chunks))) == [400]


def test_a_body_longer_than_its_content_length_is_cut(server: Server) -> None:
    before, body = server.requests_of_alice(), body_of(row())
    received = server.raw(head(server, f"Content-Length: {len(body) - 1}") + body)
    assert answers(received)[0] == 400
    assert server.requests_of_alice() == before


@pytest.mark.parametrize("lengths", [["-1"], ["+5"], ["5.0"], ["five"], ["0x5"], [""], ["5", "6"], ["9" * 5000]])
def test_a_length_is_one_number(server: Server, lengths: list[str]) -> None:
    received = server.raw(head(server, *(f"Content-Length: {length}" for length in lengths)) + body_of(row()))
    assert answers(received)[0] in (400, 413)
    assert len(answers(received)) == 1


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_truncated_body_stores_nothing(server: Server, framing: str) -> None:
    before, body = server.requests_of_alice(), body_of(row())
    start = body if framing.startswith("Content") else b"%x\r\n%b\r\n" % (len(body), body)
    assert server.raw(head(server, framing) + start) == b""
    assert server.requests_of_alice() == before


def test_the_server_outlives_clients_that_hang_up_anywhere(server: Server) -> None:
    body = body_of(row(count=0))
    whole = head(server, f"Content-Length: {len(body)}") + body
    chance = random.Random(1)
    for length in [chance.randrange(len(whole) + 1) for _ in range(100)]:
        connection = server.connect()
        with suppress(OSError):
            connection.sendall(whole[:length])
            if length % 2:  # the connection is reset, not closed
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    domain, sent = named_row()
    wait_for(lambda: server.push(sent).status == 204)  # refused while all those connections still count as open
    assert server.requests_of_alice(domain) == 1
    assert server.call("GET", "/readyz").status == 200


def test_a_connection_carries_one_request_after_another(server: Server) -> None:
    domain, sent = named_row()
    body = body_of(sent)
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(head(server, f"Content-Length: {len(body)}") + body)
            assert Answer.read_from(connection).status == 204
    assert server.requests_of_alice(domain) == 3
