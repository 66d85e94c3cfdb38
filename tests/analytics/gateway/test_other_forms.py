"""The same counting through RADIUS accounting and gost's observer."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services import issue_key
from fonproxy.clickhouse.client import Client
from orders.models import Order, ProxySession
from tests.accounts.helpers import client_with
from tests.analytics.gateway.test_sessions import totals


@pytest.fixture
def gateway(staff: User, alice: User, make_order: Callable[..., Order], clean_engine: Client) -> APIClient:
    make_order(alice, logins=("alice",))
    return client_with(issue_key(user=staff, name="gw", scopes=["gateway"], now=timezone.now())[1])


def account(gateway: APIClient, status: str, **attributes: Any) -> int:
    given = {
        "Acct-Status-Type": status,
        "User-Name": "alice",
        "Acct-Session-Id": "1",
        "NAS-Identifier": "nas",
        **{name.replace("_", "-"): value for name, value in attributes.items()},
    }
    body = {name: {"type": "string", "value": [value]} for name, value in given.items() if value is not None}
    # Escaped, for some of these texts have no bytes.
    answer = gateway.post("/gateway/radius/accounting", json.dumps(body), content_type="application/json")
    return answer.status_code


def test_interim_updates_and_stop_add_up_to_the_traffic(gateway: APIClient, clean_engine: Client) -> None:
    assert account(gateway, "Start") == 204
    assert account(gateway, "Interim-Update", Acct_Session_Time=10, Acct_Input_Octets=7, Acct_Output_Octets=100) == 204
    assert account(gateway, "Interim-Update", Acct_Session_Time=9, Acct_Input_Octets=5, Acct_Output_Octets=90) == 204
    for _ in range(2):  # a NAS repeats packets that were not answered in time
        account(gateway, "Stop", Acct_Session_Time=20, Acct_Input_Octets=9, Acct_Output_Octets=300)
    assert totals(clean_engine) == (9, 300, 1)
    session = ProxySession.objects.get()
    assert (session.worker, session.ended_at is None) == ("nas", False)


def test_gigawords_count_four_gibibytes_each(gateway: APIClient, clean_engine: Client) -> None:
    account(gateway, "Stop", Acct_Output_Octets=2**32 - 1)
    account(gateway, "Stop", Acct_Output_Octets=5, Acct_Output_Gigawords=2, Acct_Input_Gigawords=1)
    assert totals(clean_engine) == (2**32, 2 * 2**32 + 5, 1)


def test_a_server_that_restarts_ends_its_sessions_and_may_use_their_ids_again(
    gateway: APIClient, clean_engine: Client
) -> None:
    account(gateway, "Interim-Update", Acct_Session_Time=3600, Acct_Output_Octets=100)
    account(gateway, "Start", Acct_Session_Id="2", NAS_Identifier="other")
    assert account(gateway, "Accounting-On", User_Name=None, Acct_Session_Id=None) == 204
    assert [s.worker for s in ProxySession.running(timezone.now(), "alice")] == ["other"]
    account(gateway, "Interim-Update", Acct_Session_Time=1, Acct_Output_Octets=30)
    assert totals(clean_engine) == (0, 130, 3)


def test_event_timestamps_keep_delayed_packets_in_their_session(gateway: APIClient, clean_engine: Client) -> None:
    at = timezone.now().timestamp()
    account(gateway, "Interim-Update", Acct_Session_Time=10, Acct_Output_Octets=100, Event_Timestamp=int(at))
    account(gateway, "Stop", Acct_Session_Time=20, Acct_Output_Octets=150, Event_Timestamp=int(at) + 10)
    written = timezone.now().strftime("%b %d %Y %H:%M:%S UTC")
    account(gateway, "Stop", Acct_Session_Time=10, Acct_Output_Octets=160, Event_Timestamp=written)
    assert ProxySession.objects.count() == 1
    assert totals(clean_engine) == (0, 160, 1)


def test_packets_without_a_session_time_belong_to_the_session_that_runs(
    gateway: APIClient, clean_engine: Client
) -> None:
    at = int(timezone.now().timestamp())
    account(gateway, "Start", Event_Timestamp=at - 3600)
    for ago, octets in ((1800, 100), (1200, 300), (1500, 200), (600, 300)):  # one overtaken, one repeated
        account(gateway, "Interim-Update", Event_Timestamp=at - ago, Acct_Output_Octets=octets)
    account(gateway, "Stop", Event_Timestamp=at, Acct_Session_Time=3600, Acct_Output_Octets=350)
    assert totals(clean_engine) == (0, 350, 1)
    account(gateway, "Start", Event_Timestamp=at)  # the server has restarted and numbers its sessions from 1 again
    account(gateway, "Interim-Update", Event_Timestamp=at + 600, Acct_Output_Octets=20)
    assert totals(clean_engine) == (0, 370, 2)


def test_long_session_ids_that_begin_alike_are_different_sessions(gateway: APIClient, clean_engine: Client) -> None:
    for end in ("a", "b"):
        account(gateway, "Stop", Acct_Session_Id="x" * 200 + end, Acct_Output_Octets=100)
    assert totals(clean_engine) == (0, 200, 2)


@pytest.mark.parametrize("clock", [1, "Jan  1 0001 00:00:00 UTC", "Dec 31 9999 23:59:59 UTC", 2**33, 10**17])
def test_a_server_whose_clock_is_wrong_is_counted_by_ours(
    gateway: APIClient, clean_engine: Client, clock: int | str
) -> None:
    for octets in (100, 300):
        sent = {"Acct_Session_Time": 3600, "Acct_Output_Octets": octets, "Event_Timestamp": clock}
        assert account(gateway, "Interim-Update", **sent) == 204
    assert totals(clean_engine) == (0, 300, 1)
    session = ProxySession.objects.get()
    assert abs(session.started_at + timedelta(hours=1) - session.seen_at) < timedelta(minutes=5)


def test_bytes_that_are_no_text_are_counted(gateway: APIClient, clean_engine: Client) -> None:
    names = {"Acct_Session_Id": "\udcff1", "NAS_Identifier": "\ud800"}
    assert account(gateway, "Start", **names) == 204
    assert account(gateway, "Accounting-Off", **names) == 204
    assert account(gateway, "Stop", **names, Acct_Output_Octets=7) == 204
    assert totals(clean_engine) == (0, 7, 1)


@pytest.mark.parametrize(
    ("status", "attributes"),
    [
        ("Tunnel-Start", {}),
        ("Start", {"User_Name": None}),
        ("Start", {"Acct_Session_Id": None}),
        ("Start", {"User_Name": "nobody"}),
        ("Stop", {"Acct_Output_Gigawords": 2**32}),
        ("Stop", {"Acct_Output_Octets": -1}),
        ("Stop", {"Acct_Input_Octets": 1.5}),
        ("Stop", {"Acct_Input_Gigawords": "many"}),
        ("Start", {"Acct_Session_Id": "\0"}),
        ("Start", {"User_Name": "\ud800"}),
    ],
)
def test_invalid_accounting_packets_are_refused(gateway: APIClient, status: str, attributes: dict[str, Any]) -> None:
    assert account(gateway, status, **attributes) == 400
    assert not ProxySession.objects.exists()


def observe(gateway: APIClient, *stats: tuple[str, int, int, int, int], worker: str = "gw1") -> Any:
    events = [
        {
            "kind": "handler",
            "service": "socks",
            "client": client,
            "type": "stats",
            "stats": {"totalConns": conns, "currentConns": now, "inputBytes": sent, "outputBytes": received},
        }
        for client, conns, now, sent, received in stats
    ]
    events.append({"kind": "service", "service": "socks", "type": "status", "status": {"state": "ready", "msg": ""}})
    return gateway.post(f"/gateway/gost/observe?worker={worker}", {"events": events}, format="json")


def test_gost_reports_totals_of_a_client_from_an_unknown_start(gateway: APIClient, clean_engine: Client) -> None:
    assert observe(gateway, ("alice", 2, 1, 10, 100), ("", 5, 5, 1, 1)).json() == {"ok": True}
    observe(gateway, ("alice", 3, 0, 20, 150), ("nobody", 1, 1, 1, 1))
    assert totals(clean_engine) == (20, 150, 3)
    assert not ProxySession.running(timezone.now(), "alice").exists()
    observe(gateway, ("alice", 3, 1, 20, 160))
    assert ProxySession.running(timezone.now(), "alice").count() == 1
    observe(gateway, ("alice", 1, 1, 5, 7))  # gost has restarted
    observe(gateway, ("alice", 1, 1, 5, 7), worker="gw2")
    assert totals(clean_engine) == (30, 174, 5)


def test_a_malformed_observation_is_refused(gateway: APIClient) -> None:
    bodies: list[Any] = [[], {"events": 1}, {"events": [{"stats": {"inputBytes": -1}}]}]
    for body in bodies:
        assert gateway.post("/gateway/gost/observe", body, format="json").status_code == 400
