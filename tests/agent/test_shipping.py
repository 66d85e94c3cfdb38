"""A real Squid's log, shipped to a real server."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from fonproxy_agent import shipper
from fonproxy_agent.client import AgentClient
from fonproxy_agent.errors import Stop
from fonproxy_agent.files import Rotation
from fonproxy_agent.metrics import MetricsFile
from fonproxy_agent.squid import lines
from fonproxy_agent.waiting import Cancellation

from tests.agent.sample import Counts, independent_count, native_log, whole_log
from tests.agent.shipping import counted, offset, settled, ship, sign_in, start, wait_for
from tests.serving import Server, free_port, manage


@pytest.fixture(scope="module")
def tokens(server: Server) -> dict[str, str]:
    return sign_in(server)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "settings").mkdir()
    return tmp_path / "access.log"


@pytest.fixture
def gained(server: Server, tokens: dict[str, str]) -> Callable[[], Counts]:
    """The counts since the test began; other tests have shipped before."""
    before = counted(server, tokens)

    def gained() -> Counts:
        now = counted(server, tokens)
        return {
            user: {
                domain: difference
                for domain, counts in domains.items()
                if (difference := _minus(counts, before.get(user, {}).get(domain, Counter())))
            }
            for user, domains in now.items()
            if domains != before.get(user)
        }

    return gained


def _minus(counts: Counter[str], before: Counter[str]) -> Counter[str]:
    """The difference; zeros stay, unless all are zero."""
    difference = Counter({name: counts[name] - before[name] for name in counts})
    return difference if any(difference.values()) else Counter()


def test_the_management_command_is_the_same_program(server: Server, log: Path, gained: Callable[[], Counts]) -> None:
    log.write_bytes(native_log())
    arguments = ["ship_squid_log", str(log), "--url", server.url]
    done = manage(log.parent / "settings", *arguments, FONPROXY_KEY=server.keys["INGEST_KEY"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("300 lines: 299 requests shipped, ")
    assert gained() == independent_count(log.read_bytes())


@pytest.mark.parametrize("options", [(), ("--raw",)])
def test_every_request_byte_and_error_of_every_customer_and_domain_is_counted(
    options: tuple[str, ...], server: Server, log: Path, gained: Callable[[], Counts]
) -> None:
    log.write_bytes(whole_log())
    code, out, err = ship(log, server, *options)
    assert (code, err) == (0, "")
    assert out.startswith("43,122 lines: 42,948 requests shipped, ")
    assert gained() == independent_count(log.read_bytes())


def test_the_default_format_has_no_bytes_from_customers(
    server: Server, log: Path, gained: Callable[[], Counts]
) -> None:
    log.write_bytes(native_log())
    assert ship(log, server)[0] == 0
    assert gained() == independent_count(log.read_bytes())


def test_raw_requests_are_in_the_log_one_by_one(server: Server, log: Path, tokens: dict[str, str]) -> None:
    log.write_bytes(native_log())
    assert ship(log, server, "--raw")[0] == 0
    server.wait_until_readable()
    lines = [line.split() for line in log.read_text().splitlines() if " alice " in line]
    for time_, _, client, result, received, method, *_ in lines[:10]:
        second = time.strftime("%Y-%m-%d+%H:%M:%S", time.gmtime(float(time_)))
        query = f"log_request_datetime={second}&log_client_ip_address={client}&log_method={method}"
        query += f"&log_status_code={result.split('/')[1]}&log_bytes_received={received}"
        answer = server.call("GET", f"/log/search?{query}", Authorization=f"Bearer {tokens['alice']}")
        assert answer.json["total_count"] >= 1, query


def test_a_second_run_ships_only_new_lines(server: Server, log: Path, gained: Callable[[], Counts]) -> None:
    lines = native_log().splitlines(keepends=True)
    for count in (100, 100, 250):
        log.write_bytes(b"".join(lines[:count]))
        code, out, _ = ship(log, server, lines=40)
        assert code == 0
    assert out.startswith("150 lines: 150 requests shipped")
    assert gained() == independent_count(log.read_bytes())


def test_a_lost_state_file_counts_nothing_twice(server: Server, log: Path, gained: Callable[[], Counts]) -> None:
    log.write_bytes(native_log())
    for _ in range(2):
        assert ship(log, server)[0] == 0
        log.with_name("access.log.fonproxy").unlink()
    assert gained() == independent_count(log.read_bytes())


def test_an_incomplete_last_line_is_shipped_when_complete(
    server: Server, log: Path, gained: Callable[[], Counts]
) -> None:
    whole = native_log()
    log.write_bytes(whole[:-20])
    code, out, err = ship(log, server)
    assert (code, "The last line is unfinished" in err) == (0, True)
    assert out.startswith("299 lines")
    log.write_bytes(whole)
    assert ship(log, server)[1].startswith("1 lines")
    assert gained() == independent_count(whole)


@pytest.mark.parametrize(("options", "days"), [((), 500), (("--raw",), 8)])
def test_requests_that_cannot_be_shipped_are_reported_and_delay_no_others(
    options: tuple[str, ...], days: int, server: Server, log: Path, gained: Callable[[], Counts]
) -> None:
    good = native_log()
    [line] = [line for line in good.splitlines(keepends=True) if b" bob " in line][:1]
    old = b"%.3f" % (time.time() - days * 86400) + line[14:]
    ahead = b"%.3f" % (time.time() + 5 * 86400) + line[14:]
    log.write_bytes(
        line.replace(b" bob ", b" eve ") * 3 + b"nonsense\n\n" + line.replace(b" bob ", b" - ") + old + ahead + good
    )
    code, out, _ = ship(log, server, *options)
    assert code == 0
    assert "3 requests of the unknown login 'eve' were left out." in out
    assert "1 requests without a sign-in were left out." in out
    assert "2 requests too old or too far in the future of 'bob' were left out." in out
    assert "2 lines (0.6%) could not be read:" in out
    assert "line 4 is not in the expected format" in out
    assert "line 5 is empty" in out
    assert gained() == independent_count(good)


@pytest.mark.parametrize(
    ("key", "path", "said"),
    [
        ("fnp_" + "0" * 64, "", "FonProxy does not know the API key"),
        ("READ_KEY", "", "lacks the scope 'ingest'"),
        ("INGEST_KEY", "/elsewhere", "There is no FonProxy at this URL"),
    ],
)
def test_a_permanent_error_stops_the_agent_with_a_message(
    server: Server, log: Path, key: str, path: str, said: str
) -> None:
    log.write_bytes(native_log())
    secret = server.keys.get(key, key)
    assert secret.startswith("fnp_")
    process = start(log, server.url + path, secret)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, said in err, "Traceback" in err) == (1, True, False)
    assert secret not in out + err


def test_a_missing_file_a_second_shipper_and_a_broken_state_are_reported(server: Server, log: Path) -> None:
    assert f"There is no file {log}." in ship(log, server)[2]
    log.write_bytes(native_log())
    first = start(log, server.url, server.keys["INGEST_KEY"], "--follow")
    assert wait_for(lambda: log.with_name("access.log.fonproxy").exists())
    assert "being shipped by another process" in ship(log, server)[2]
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)
    assert first.returncode == 0
    log.with_name("access.log.fonproxy").write_text("{")
    assert "cannot be read" in ship(log, server)[2]


def test_a_lost_answer_counts_nothing_twice(server: Server, log: Path, gained: Callable[[], Counts]) -> None:
    """The server accepts the chunk, and the shipper is killed before it gets the response."""
    log.write_bytes(native_log())
    with Swallower(server.port) as swallower:
        process = start(log, f"http://127.0.0.1:{swallower.port}", server.keys["INGEST_KEY"])
        assert swallower.answered.wait(30)
        process.kill()
        process.communicate()
    assert json.loads(log.with_name("access.log.fonproxy").read_text())["chunk"] is not None
    assert ship(log, server)[0] == 0
    assert gained() == independent_count(log.read_bytes())


def test_a_chunk_in_doubt_for_longer_than_keys_are_kept_is_not_resent(server: Server, log: Path) -> None:
    log.write_bytes(native_log())
    process = start(log, f"http://127.0.0.1:{free_port()}", server.keys["INGEST_KEY"])
    state_file = log.with_name("access.log.fonproxy")
    assert wait_for(state_file.exists)
    process.kill()
    process.communicate()
    state = json.loads(state_file.read_text())
    state["chunk"]["attempted_at"] -= 86400
    state_file.write_text(json.dumps(state))
    code, _, err = ship(log, server)
    assert (code, 'set only "chunk" to null' in err) == (1, True)


def test_the_shipper_waits_for_an_unavailable_server(log: Path, server: Server, gained: Callable[[], Counts]) -> None:
    log.write_bytes(native_log())
    port = free_port()
    process = start(log, f"http://127.0.0.1:{port}", server.keys["INGEST_KEY"])
    assert process.stderr
    assert process.stderr.readline().startswith("Retrying in")
    with Swallower(server.port, port=port, swallow=False):
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert gained() == independent_count(log.read_bytes())


def test_the_shipper_follows_the_log_through_every_kind_of_rotation(
    server: Server, log: Path, gained: Callable[[], Counts]
) -> None:
    lines = whole_log().splitlines(keepends=True)[:6000]
    parts = [b"".join(lines[i : i + 1000]) for i in range(0, 6000, 1000)]
    log.write_bytes(parts[0])
    process = start(log, server.url, server.keys["INGEST_KEY"], "--follow", lines=300)
    assert wait_for(lambda: offset(log) == len(parts[0]))
    # Renamed and recreated.
    with log.open("ab") as held:
        log.rename(log.with_name("access.log.0"))
        log.write_bytes(b"")
        held.write(parts[1])  # the proxy has the old one open for another moment
    assert wait_for(lambda: settled(log) == len(parts[0] + parts[1]))
    log.write_bytes(parts[2])
    assert wait_for(lambda: offset(log) == len(parts[2]))
    # Copied and truncated.
    with log.open("ab") as more:
        more.write(parts[3])
    log.with_name("access.log.copy").write_bytes(log.read_bytes())
    log.write_bytes(parts[4])
    assert wait_for(lambda: offset(log) == len(parts[4]))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
    # Rotated twice while no agent ran.
    log.rename(log.with_name("access.log.1"))
    middle, last = lines[5000:5400], lines[5400:]
    log.write_bytes(b"".join(middle))
    log.rename(log.with_name("access.log.2"))
    log.write_bytes(b"".join(last))
    assert ship(log, server, lines=300)[0] == 0
    assert gained() == independent_count(b"".join(lines))


def test_a_missing_log_is_reported_and_the_next_one_shipped(
    server: Server, log: Path, gained: Callable[[], Counts]
) -> None:
    lines = native_log().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:100]))
    assert ship(log, server)[0] == 0
    log.unlink()
    log.write_bytes(b"".join(lines[150:]))
    code, _, err = ship(log, server)
    assert (code, "is gone, compressed or truncated" in err) == (0, True)
    assert gained() == independent_count(b"".join(lines[:100] + lines[150:]))


def at(lines: list[bytes], seconds: int) -> bytes:
    """The same lines at another time."""
    return b"".join(b"%.3f" % (float(line[:14]) + seconds) + line[14:] for line in lines)


def test_a_clock_that_was_set_back_over_a_rotation_counts_nothing_twice(
    server: Server, log: Path, gained: Callable[[], Counts]
) -> None:
    lines = native_log().splitlines(keepends=True)
    early, late = at(lines[:60], -3600), at(lines[60:120], 1800)
    process = start(log, server.url, server.keys["INGEST_KEY"], "--follow", lines=300)
    for part in range(4):
        with log.open("ab") as more:
            more.write(b"".join(late.splitlines(keepends=True)[part * 15 : part * 15 + 15]))
        assert wait_for(lambda: offset(log) == log.stat().st_size)
    log.with_name("access.log.readme").write_text("a note to oneself\n")
    log.rename(log.with_name("access.log.1"))
    log.write_bytes(early)
    assert wait_for(lambda: offset(log) == len(early))
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert out.startswith("120 lines: 119 requests shipped")
    code, out, _ = ship(log, server, lines=300)
    assert (code, out.startswith("0 lines")) == (0, True)
    assert gained() == independent_count(early + late)
    log.write_bytes(early + at(lines[120:130], -3500))
    assert ship(log, server)[1].startswith("10 lines")


def test_a_log_that_is_copied_and_cut_while_it_is_read_loses_nothing(
    server: Server, log: Path, gained: Callable[[], Counts]
) -> None:
    whole, new = native_log(), native_log()
    log.write_bytes(whole)
    with Swallower(server.port) as swallower:  # so that a chunk is fixed but not settled
        process = start(log, f"http://127.0.0.1:{swallower.port}", server.keys["INGEST_KEY"], lines=100)
        assert swallower.answered.wait(30)
        process.kill()
        process.communicate()
    log.with_name("access.log.1").write_bytes(whole)
    log.write_bytes(new)
    assert ship(log, server, lines=100)[0] == 0
    assert gained() == independent_count(whole + new)


def test_being_stopped_before_the_end_is_not_a_success(server: Server, log: Path) -> None:
    log.write_bytes(whole_log())
    process = start(log, f"http://127.0.0.1:{free_port()}", server.keys["INGEST_KEY"])
    assert wait_for(lambda: log.with_name("access.log.fonproxy").exists())
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, "Stopped before the end of the log" in err) == (75, True)


@pytest.mark.parametrize(
    ("url", "key", "said"),
    [
        ("http://[::1", "fnp_1", "The URL must be like"),
        ("http://127.0.0.1:99999", "fnp_1", "The URL must be like"),
        ("http://127.0.0.1:1?x=1", "fnp_1", "The URL must be like"),
        ("http://a..b", "fnp_1", "The URL must be like"),
        ("ftp://127.0.0.1", "fnp_1", "The URL must be like"),
        ("http://127.0.0.1:1", "fnp_…", "The API key must be"),
    ],
)
def test_a_malformed_url_or_key_is_a_usage_error(log: Path, url: str, key: str, said: str) -> None:
    log.write_bytes(native_log())
    process = start(log, url, key)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, said in err, "Traceback" in err) == (2, True, False)


def hang_up(listener: socket.socket) -> None:
    """Closes every incoming connection."""
    with suppress(OSError):
        while True:
            listener.accept()[0].close()


def test_a_chunk_is_not_sent_again_once_its_key_may_be_forgotten(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write_bytes(native_log())
    monkeypatch.setattr(shipper, "KEY_REMEMBERED_SECONDS", 1.0)
    monkeypatch.setattr(shipper, "FIRST_PAUSE", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=hang_up, args=(listener,), daemon=True).start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        shipping = shipper.Shipper(
            Rotation(log, lines.time_of),
            lines.parse,
            AgentClient(address, "fnp_1"),
            worker="w",
            is_raw=False,
            follow=True,
            delete_finished=False,
            skip_unreadable=False,
            sessions=None,
            metrics=MetricsFile("", "ship"),
            cancellation=Cancellation(),
        )
        with pytest.raises(Stop, match="no longer remembers"):
            shipping.run()


class Swallower:
    """Passes bytes on to a server, and its responses back unless they are to be dropped."""

    def __init__(self, to: int, *, port: int = 0, swallow: bool = True) -> None:
        self._to = to
        self._swallow = swallow
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.answered = threading.Event()

    def __enter__(self) -> Swallower:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while data := source.recv(2**16):
                if is_answer:
                    self.answered.set()
                if not (is_answer and self._swallow):
                    sink.sendall(data)
