"""radclient plays a proxy server: a real FreeRADIUS queries FonProxy and reports to it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fonproxy.units import MIB
from tests.gateway.freeradius import SECRET, FreeRadius, disconnect_receiver, freeradius
from tests.gateway.wired import PASSWORD, Moved, Provider
from tests.serving import ROOT, Server, environment, serving
from tests.waiting import wait_for

pytestmark = pytest.mark.gateway

# A key with the scope `gateway`, made as an operator makes one, and actions of an order's life.
PREPARE = """
import django, sys
django.setup()
from django.utils import timezone
from accounts.models import User
from accounts.services import issue_key
print(issue_key(user=User.objects.get(username="admin"), name="gw", scopes=["gateway"], now=timezone.now())[1])
"""
STEP = """
import django, sys
django.setup()
from django.utils import timezone
from orders import services
from orders.models import ProxyUser
getattr(services, sys.argv[1])(ProxyUser.objects.get(login="alice").order, timezone.now())
"""


def run(server: Server, script: str, *arguments: str) -> str:
    command = [sys.executable, "-c", script, *arguments]
    env = environment(server.data_dir)
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(FONPROXY_THROTTLE_READ="1000000/min") as server:
        yield server


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    return run(server, PREPARE)


@pytest.fixture(scope="module")
def provider(server: Server) -> Provider:
    return Provider(server)


@pytest.fixture(scope="module")
def radius(server: Server, key: str) -> Iterator[FreeRadius]:
    with freeradius(server.url, key) as radius:
        yield radius


def test_the_right_password_is_accepted_and_a_wrong_one_rejected_with_the_reason(
    server: Server, radius: FreeRadius
) -> None:
    accepted, reply = radius.sign_in("alice", server.keys["PASSWORD"])
    assert accepted, reply
    assert "Acct-Interim-Interval = 60" in reply
    rejected, reply = radius.sign_in("alice", "wrong-password")
    assert not rejected
    assert 'Reply-Message = "bad_password"' in reply
    unknown, reply = radius.sign_in("nobody", server.keys["PASSWORD"])
    assert not unknown
    assert 'Reply-Message = "unknown"' in reply


def test_a_login_with_quotes_and_backslashes_is_not_confused_with_another(server: Server, radius: FreeRadius) -> None:
    for login in ('a\\"lice', "%{User-Password}", "alice\\\\", "ali'ce"):
        assert not radius.sign_in(login, server.keys["PASSWORD"])[0], login


def test_a_suspended_order_is_rejected_until_it_is_resumed(server: Server, radius: FreeRadius) -> None:
    run(server, STEP, "suspend")
    accepted, reply = radius.sign_in("alice", server.keys["PASSWORD"])
    assert not accepted
    assert 'Reply-Message = "suspended"' in reply
    run(server, STEP, "resume")
    assert radius.sign_in("alice", server.keys["PASSWORD"])[0]


def usage(server: Server, domain: str = "") -> tuple[int, int, int]:
    now = datetime.now(UTC)
    day = timedelta(days=1)
    answer: Any = server.get(f"/analytics/traffic?from={(now - day).date()}&to={(now + day).date()}").json
    columns = ("total_bytes_sent", "total_bytes_received", "total_count")
    sent, received, count = (sum(int(point[column]) for point in answer["data"]) for column in columns)
    return sent, received, count


def test_interim_updates_and_stops_add_up_to_the_reported_traffic(server: Server, radius: FreeRadius) -> None:
    before = usage(server)
    moved = {"1": (7_000, 2**32 + 500), "2": (10, 20)}
    for session, (sent, received) in moved.items():
        packet: dict[str, Any] = {"User_Name": "alice", "Acct_Session_Id": session, "NAS_Identifier": "gw1"}

        def account(status: str, sent: int = 0, received: int = 0, packet: dict[str, Any] = packet) -> bool:
            counters = {
                "Acct_Input_Octets": sent % 2**32,
                "Acct_Input_Gigawords": sent // 2**32,
                "Acct_Output_Octets": received % 2**32,
                "Acct_Output_Gigawords": received // 2**32,
            }
            return radius.account(Acct_Status_Type=status, **packet, **counters)

        assert account("Start")
        for part in (1, 3, 2, 3):  # out of order and repeated
            assert account("Interim-Update", sent * part // 4, received * part // 4)
        half = tuple(now - then for now, then in zip(usage(server), before, strict=True))
        assert half[1] >= received * 3 // 4  # it counts while it runs
        assert account("Stop", sent, received)
        assert account("Stop", sent, received)
    total = tuple(now - then for now, then in zip(usage(server), before, strict=True))
    assert total == (7_010, 2**32 + 520, 2)


def test_accounting_of_an_unknown_login_is_not_acknowledged(radius: FreeRadius) -> None:
    packet: dict[str, Any] = {"User_Name": "nobody", "Acct_Session_Id": "9", "NAS_Identifier": "gw1"}
    assert not radius.account(seconds=5, Acct_Status_Type="Stop", **packet)


def test_logins_in_other_letters_and_ids_of_any_bytes_are_counted(radius: FreeRadius, provider: Provider) -> None:
    login = "j\u00f6rg \u0416"
    provider.sell("letters", login=login)
    assert radius.sign_in(login, PASSWORD)[0]
    for session in ("\\377\\376", '\\"\\\\'):
        packet: dict[str, Any] = {"User_Name": login, "Acct_Session_Id": session, "NAS_Identifier": "\\377"}
        assert radius.account(Acct_Status_Type="Stop", **packet, Acct_Output_Octets=50)
    wait_for(lambda: provider.usage().get(login) == Moved(2, 0, 100))


def test_a_connection_beyond_the_limit_is_rejected(server: Server, radius: FreeRadius, key: str) -> None:
    script = """
import django
django.setup()
from orders import proxy_users
from orders.models import ProxyUser
proxy_users.change(ProxyUser.objects.get(login="alice"), {"max_connections": 1})
"""
    run(server, script)
    packet: dict[str, Any] = {"User_Name": "alice", "Acct_Session_Id": "11", "NAS_Identifier": "gw1"}
    assert radius.sign_in("alice", server.keys["PASSWORD"])[0]
    radius.account(Acct_Status_Type="Start", **packet)
    accepted, reply = radius.sign_in("alice", server.keys["PASSWORD"])
    assert not accepted
    assert 'Reply-Message = "too_many_connections"' in reply
    radius.account(Acct_Status_Type="Stop", **packet)
    assert radius.sign_in("alice", server.keys["PASSWORD"])[0]
    login = server.call("GET", "/gateway/logins", None, x_api_key=key).json["logins"]
    assert {row["login"]: row["maxConnections"] for row in login}["alice"] == 1
    assert json.dumps(login).count("$2y$") == len(login)


def test_a_changed_password_and_an_address_that_is_not_allowed(
    server: Server, radius: FreeRadius, provider: Provider
) -> None:
    provider.sell("radius")
    assert radius.sign_in("radius", PASSWORD)[0]
    provider.sell("radius", password="another-horse-1", allowedIps=["192.0.2.0/24"])
    assert not radius.sign_in("radius", PASSWORD)[0]
    accepted, reply = radius.sign_in("radius", "another-horse-1", Calling_Station_Id="198.51.100.7")
    assert not accepted
    assert 'Reply-Message = "ip_not_allowed"' in reply
    assert radius.sign_in("radius", "another-horse-1", Calling_Station_Id="192.0.2.7")[0]


def test_a_connection_that_uses_up_its_order_is_cut_off_while_it_runs_until_a_top_up(
    radius: FreeRadius, provider: Provider
) -> None:
    provider.sell("radius-small", limit=20 * MIB)
    packet: dict[str, Any] = {"User_Name": "radius-small", "Acct_Session_Id": "60", "NAS_Identifier": "gw1"}

    def account(status: str, received: int) -> None:
        assert radius.account(Acct_Status_Type=status, Acct_Output_Octets=received, **packet)

    def may_pass() -> bool:
        return radius.sign_in("radius-small", PASSWORD)[0]

    def is_stopped() -> bool:
        changes = provider.ask("GET", "/provisioning/exhausted?since=0")["changes"]
        states = [change["state"] for change in changes if "radius-small" in change["proxyUsers"]]
        return states[-1:] == ["exhausted"]

    account("Start", 0)
    account("Interim-Update", 19 * MIB)
    wait_for(lambda: provider.usage().get("radius-small") == Moved(1, 0, 19 * MIB))
    assert may_pass()
    account("Interim-Update", 40 * MIB)
    wait_for(lambda: not may_pass())
    wait_for(is_stopped)  # the gateway's order to end the connection
    account("Stop", 60 * MIB)  # what it transferred until its end is counted too
    wait_for(lambda: provider.usage()["radius-small"] == Moved(1, 0, 60 * MIB))
    provider.act("radius-small", "top-ups", reference="more", bytes=41 * MIB)
    wait_for(may_pass)
    assert not is_stopped()


def test_squids_own_helper_reads_the_verifiers_of_the_feed(server: Server, key: str, tmp_path: Path) -> None:
    logins = server.call("GET", "/gateway/logins", None, x_api_key=key).json["logins"]
    file = tmp_path / "passwd"
    file.write_text("".join(f"{row['login']}:{row['verifier']}\n" for row in logins))
    asked = f"alice {server.keys['PASSWORD']}\nalice wrong-password\nnobody x\n"
    helper = ["/usr/lib/squid/basic_ncsa_auth", str(file)]
    answers = subprocess.run(helper, input=asked, capture_output=True, text=True, check=True).stdout
    assert [line.split()[0] for line in answers.splitlines()] == ["OK", "ERR", "ERR"]


@pytest.mark.parametrize("login", ["alice", "so%ck@s 2", 'a, User-Name = "b', "back\\slash\\", "jörg", "$(id)`id`"])
def test_a_disconnect_request_names_the_login_and_nothing_else(tmp_path: Path, login: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    with disconnect_receiver() as (port, log):
        command = [str(ROOT / "ops/freeradius/disconnect"), f"127.0.0.1:{port}", str(secret), login]
        sent = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        received = re.findall(r"\(0\) +([A-Z][\w-]+ = .*)$", log.read_text(), re.MULTILINE)
    assert "Disconnect-ACK" in sent
    escaped = login.replace("\\", "\\\\").replace('"', '\\"')
    assert received == [f'User-Name = "{escaped}"']
