"""Squid's helpers: FonProxy decides, or the local copy of the logins while FonProxy is unreachable."""

from __future__ import annotations

import ctypes
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fonproxy_agent import authorize, passwords
from fonproxy_agent.authorize import Authorizer, Decision, decide_locally
from fonproxy_agent.client import AgentClient
from fonproxy_agent.config import SignInConfig
from fonproxy_agent.logins import KnownLogin, LoginStore
from fonproxy_agent.squid.helpers import OTHER_SENTENCE, SENTENCES, access, answer_line, sign_in
from running import run_agent, wait_for
from stand_in import StandIn, stand_in


def crypt(password: str, salt: str) -> str:
    library = ctypes.CDLL(passwords.LIBRARIES[0])
    library.crypt.restype = ctypes.c_char_p
    made: bytes = library.crypt(password.encode(), salt.encode())
    return made.decode()


VERIFIER = crypt("secret", "$5$rounds=1000$abcdefgh$")


class FonProxy:
    """Two logins, and whether it can be reached."""

    def __init__(self) -> None:
        self.status = 200
        self.logins: dict[str, dict[str, Any]] = {
            "alice": {
                "login": "alice",
                "verifier": VERIFIER,
                "allowedIps": ["192.0.2.0/24", "2001:db8::1"],
                "stopped": False,
            },
            "bob smith": {
                "login": "bob smith",
                "verifier": None,
                "allowedIps": [],
                "state": "suspended",
                "stopped": True,
            },
        }
        self.asked: list[dict[str, Any]] = []

    def answer(self, path: str, body: Any) -> tuple[int, Any]:
        if self.status != 200:
            return self.status, {}
        if path.startswith("/gateway/logins"):
            names = sorted(self.logins)
            position = int(path.partition("since=")[2] or 0)
            page = [self.logins[name] for name in names[position : position + 1]]
            return 200, {"logins": page, "cursor": str(position + len(page)), "hasMore": position + 1 < len(names)}
        self.asked.append(body)
        if body.get("password", "secret") == "secret":
            return 200, {"allowed": True, "login": body["login"], "orderId": "x", "bytesLeft": None, "cacheSeconds": 10}
        return 403, {"allowed": False, "reason": "bad_password"}


@pytest.fixture
def fonproxy() -> FonProxy:
    return FonProxy()


@pytest.fixture
def server(fonproxy: FonProxy) -> Iterator[StandIn]:
    with stand_in() as server:
        server.answer = fonproxy.answer
        yield server


@pytest.fixture
def store(tmp_path: Path) -> LoginStore:
    return LoginStore(tmp_path / "logins.sqlite3")


def authorizer(server: StandIn, store: LoginStore, **config: Any) -> Authorizer:
    return Authorizer(SignInConfig(**config), AgentClient(server.url, "fnp_1", "gateway"), store, "w")


def test_passwords_are_checked_as_crypt_does() -> None:
    assert passwords.matches("secret", VERIFIER)
    assert passwords.matches("secret", crypt("secret", "$6$abcdefgh$"))
    assert passwords.matches("secret", crypt("secret", "$2y$05$abcdefghijklmnopqrstuu"))
    assert not passwords.matches("Secret", VERIFIER)
    assert not passwords.matches("", VERIFIER)
    assert not passwords.matches("secret\0more", VERIFIER)
    for unknown in ("", "*", "*0", "$apr1$abcdefgh$x", "secret", "$9$what$ever"):
        assert not passwords.matches("secret", unknown)


KNOWN = KnownLogin(VERIFIER, ["192.0.2.0/24", "2001:db8::1"], "")


@pytest.mark.parametrize(
    ("known", "password", "client_ip", "decision"),
    [
        (None, "secret", "", Decision(False, "unknown")),
        (KNOWN, "secret", "192.0.2.7", Decision(True)),
        (KNOWN, "secret", "", Decision(True)),
        (KNOWN, None, "2001:db8::1", Decision(True)),
        (KNOWN, "wrong", "192.0.2.7", Decision(False, "bad_password")),
        (KNOWN, "", "192.0.2.7", Decision(False, "bad_password")),
        (KNOWN, "secret", "198.51.100.7", Decision(False, "ip_not_allowed")),
        (KNOWN._replace(refusal="suspended"), "secret", "192.0.2.7", Decision(False, "suspended")),
        (KNOWN._replace(verifier=""), "", "192.0.2.7", Decision(False, "bad_password")),
        (KNOWN._replace(allowed_ips=[]), None, "198.51.100.7", Decision(True)),
    ],
)
def test_the_local_copy_decides(
    known: KnownLogin | None, password: str | None, client_ip: str, decision: Decision
) -> None:
    assert decide_locally(known, password, client_ip) == decision


def test_fonproxy_decides_and_its_decision_is_remembered(
    server: StandIn, store: LoginStore, fonproxy: FonProxy
) -> None:
    asking = authorizer(server, store)
    for _ in range(3):
        assert asking.decide("alice", "secret", "192.0.2.7") == Decision(True)
        assert asking.decide("alice", "wrong", "192.0.2.7") == Decision(False, "bad_password")
        assert asking.decide("alice", None, "") == Decision(True)
        assert asking.decide("alice", "", "") == Decision(False, "bad_password")
    assert fonproxy.asked == [
        {"login": "alice", "password": "secret", "clientIp": "192.0.2.7", "worker": "w"},
        {"login": "alice", "password": "wrong", "clientIp": "192.0.2.7", "worker": "w"},
        {"login": "alice", "worker": "w"},
        {"login": "alice", "password": "", "worker": "w"},
    ]


def test_a_refusal_is_remembered_only_shortly(
    server: StandIn, store: LoginStore, fonproxy: FonProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorize, "SHORT_SECONDS", 0.0)
    asking = authorizer(server, store)
    for _ in range(2):
        assert not asking.decide("alice", "wrong", "").is_allowed
    assert len(fonproxy.asked) == 2


def test_the_cache_is_bounded(server: StandIn, store: LoginStore, fonproxy: FonProxy) -> None:
    asking = authorizer(server, store, cache_size=10)
    for number in range(100):
        asking.decide(f"login{number}", "secret", "")
    assert len(asking._cache) == 10


@pytest.mark.parametrize("status", [500, 503, 429, 401, 403, 204])
def test_the_local_copy_decides_while_fonproxy_is_unreachable(
    status: int, server: StandIn, store: LoginStore, fonproxy: FonProxy
) -> None:
    asking = authorizer(server, store)
    store.sync(AgentClient(server.url, "fnp_1"), 5)
    fonproxy.status = status
    assert asking.decide("alice", "secret", "192.0.2.7") == Decision(True)
    assert asking.decide("alice", "wrong", "192.0.2.7") == Decision(False, "bad_password")
    assert asking.decide("bob smith", None, "192.0.2.7") == Decision(False, "suspended")
    assert asking.decide("eve", "secret", "192.0.2.7") == Decision(False, "unknown")
    assert fonproxy.asked == []


@pytest.mark.parametrize(("offline", "is_allowed"), [("closed", False), ("open", True)])
def test_without_a_recent_copy_the_setting_decides(
    offline: str, is_allowed: bool, server: StandIn, store: LoginStore, fonproxy: FonProxy
) -> None:
    fonproxy.status = 503
    assert authorizer(server, store, offline=offline).decide("alice", "x", "").is_allowed == is_allowed
    fonproxy.status = 200
    store.sync(AgentClient(server.url, "fnp_1"), 0)
    fonproxy.status = 503
    expired = authorizer(server, store, offline=offline, offline_seconds=0.0)
    assert expired.decide("alice", "secret", "").is_allowed == is_allowed


def test_the_copy_follows_changes_and_is_fetched_by_one_process_at_a_time(
    server: StandIn, store: LoginStore, fonproxy: FonProxy
) -> None:
    client = AgentClient(server.url, "fnp_1")
    store.sync(client, 60)
    store.sync(client, 60)
    assert [path for path, _ in server.called] == ["/gateway/logins", "/gateway/logins?since=1"]
    assert store.find("alice") == KnownLogin(VERIFIER, ["192.0.2.0/24", "2001:db8::1"], "")
    fonproxy.logins["zoe"] = {"login": "alice", "deleted": True}
    store.sync(client, 0)
    assert store.find("alice") is None
    assert store.find("bob smith") == KnownLogin("", [], "suspended")


def test_a_reset_drops_logins_that_are_not_listed_again(server: StandIn, store: LoginStore, fonproxy: FonProxy) -> None:
    client = AgentClient(server.url, "fnp_1")
    store.sync(client, 0)
    page = {"logins": [fonproxy.logins["bob smith"]], "cursor": "1", "hasMore": False, "reset": True}
    server.answer = lambda path, body: (200, page)
    store.sync(client, 0)
    assert store.find("alice") is None
    assert store.find("bob smith") == KnownLogin("", [], "suspended")


def test_a_copy_of_an_older_version_is_fetched_again(tmp_path: Path, server: StandIn) -> None:
    path = tmp_path / "logins.sqlite3"
    with closing(sqlite3.connect(path)) as older, older:
        older.execute("CREATE TABLE login (name TEXT PRIMARY KEY, is_stopped INTEGER)")
        older.execute("CREATE TABLE sync (id INTEGER PRIMARY KEY, cursor TEXT)")
        older.execute("INSERT INTO sync VALUES (1, '7')")
    for _ in range(2):
        LoginStore(path).sync(AgentClient(server.url, "fnp_1"), 60)
    assert [path for path, _ in server.called] == ["/gateway/logins", "/gateway/logins?since=1"]
    assert LoginStore(path).find("bob smith") == KnownLogin("", [], "suspended")


def test_the_local_copy_is_readable_by_its_user_only(tmp_path: Path, store: LoginStore) -> None:
    assert (tmp_path / "logins.sqlite3").stat().st_mode & 0o077 == 0


def test_helpers_answer_in_squids_protocol(server: StandIn, store: LoginStore, fonproxy: FonProxy) -> None:
    asking = authorizer(server, store)
    assert answer_line(b"0 alice secret", sign_in, asking) == "0 OK"
    assert answer_line(b"17 alice wrong", sign_in, asking) == "17 ERR"
    assert answer_line(b"1 j%C3%B6rg%20x a%20b%25 192.0.2.7", sign_in, asking) == "1 ERR"
    assert fonproxy.asked[-1] == {"login": "jörg x", "password": "a b%", "clientIp": "192.0.2.7", "worker": "w"}
    assert answer_line(b"2 bob%20smith 192.0.2.7 -", access, asking) == "2 OK"
    assert fonproxy.asked[-1] == {"login": "bob smith", "clientIp": "192.0.2.7", "worker": "w"}
    unknown = 'ERR reason=unknown message="There is no such login."'
    assert answer_line(b"3 - 192.0.2.7 -", access, asking) == f"3 {unknown}"
    assert answer_line(b"4", sign_in, asking).startswith("4 BH")
    assert answer_line(b"alice secret", sign_in, asking).startswith("BH")


@pytest.mark.parametrize(
    ("reason", "signs_in"),
    [
        ("unknown", False),
        ("bad_password", False),
        ("ip_not_allowed", True),
        ("exhausted", True),
        ("expired", True),
        ("suspended", True),
        ("too_many_connections", True),
        ('a "new\\n reason', False),
    ],
)
def test_only_the_access_helper_refuses_for_reasons_other_than_the_password(
    reason: str, signs_in: bool, server: StandIn, store: LoginStore
) -> None:
    server.answer = lambda path, body: (403, {"allowed": False, "reason": reason})
    asking = authorizer(server, store)
    assert answer_line(b"0 alice secret 192.0.2.7", sign_in, asking) == ("0 OK" if signs_in else "0 ERR")
    refusal = answer_line(b"0 alice 192.0.2.7", access, asking)
    known = reason if reason in SENTENCES else "refused"
    assert refusal == f'0 ERR reason={known} message="{SENTENCES.get(reason, OTHER_SENTENCE)}"'


def test_slow_decisions_do_not_delay_others(tmp_path: Path, server: StandIn, fonproxy: FonProxy) -> None:
    release = threading.Event()

    def answer(path: str, body: Any) -> tuple[int, Any]:
        if body and body["login"] == "slow":
            release.wait(60)
        return fonproxy.answer(path, body)

    server.answer = answer
    config = tmp_path / "agent.toml"
    config.write_text(f'url = "{server.url}"\nsign_in.database = "{tmp_path}/logins.sqlite3"\n')
    process = run_agent("squid-auth", "--config", str(config), FONPROXY_KEY="fnp_1")
    assert process.stdin
    assert process.stdout
    process.stdin.write("0 slow secret\n1 alice secret\n")
    process.stdin.flush()
    assert process.stdout.readline() == "1 OK\n"
    release.set()
    assert process.stdout.readline() == "0 OK\n"
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert int(status.partition("VmHWM:")[2].split()[0]) * 1024 < 40 * 10**6
    process.communicate()
    assert process.returncode == 0


def test_helpers_keep_the_copy_up_to_date(tmp_path: Path, server: StandIn) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(f'url = "{server.url}"\nsign_in.database = "{tmp_path}/logins.sqlite3"\n')
    process = run_agent("squid-acl", "--config", str(config), FONPROXY_KEY="fnp_1")
    wait_for(lambda: len(server.called) >= 2)
    process.communicate()
    store = LoginStore(tmp_path / "logins.sqlite3")
    assert json.dumps(store.find("bob smith"))
