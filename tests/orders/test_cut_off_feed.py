"""The cut-off feed of a running server, as proxies follow it."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

from tests.serving import Server, serving

PATIENCE_SECONDS = 20


class BillingSystem:
    """A billing system and a proxy that watches the feed."""

    def __init__(self, server: Server) -> None:
        self.server = server
        credentials = json.dumps({"username": "admin", "password": server.keys["PASSWORD"]}).encode()
        answer = server.call("POST", "/auth/token", credentials, Content_Type="application/json")
        self.token = answer.json["access"]
        self.cursor = "0"

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        sent = json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": f"Bearer {self.token}", "Content_Type": "application/json"}
        answer = self.server.call(method, f"/provisioning/{path}", sent, **headers)
        assert answer.status < 300, answer.body
        return answer.json

    def next_change(self) -> tuple[str, str]:
        """The external id and the state of the next change in the feed."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            feed = self.call("GET", f"exhausted?since={self.cursor}&limit=1")
            self.cursor = feed["cursor"]
            if feed["changes"]:
                [change] = feed["changes"]
                return change["externalId"], change["state"]
            time.sleep(0.05)
        raise AssertionError("nothing came")


@pytest.mark.processes
def test_an_order_is_cut_off_and_comes_back_even_while_a_provider_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        provider = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        names = ("RESIDENTIAL", "MOBILE", "DATACENTER")
        with serving(**{f"FONPROXY_GEO_{name}_URL": provider for name in names}) as server:
            _live_through(BillingSystem(server))
            server.process.kill()  # otherwise it would wait for the requests that hang
            server.process.wait()


def _live_through(shop: BillingSystem) -> None:
    order = {"user": "c", "name": "R", "proxyType": "residential-giga", "trafficLimitBytes": 1000, "proxyUsers": ["l"]}
    shop.call("PUT", "users/c", {})
    shop.call("PUT", "orders/o", order)

    def push(size: int) -> None:
        row = {"ts": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()), "proxy_user": "l", "count": 1}
        assert shop.server.push({**row, "bytes_sent": size}).status == 204

    push(999)
    push(1)
    assert shop.next_change() == ("o", "exhausted")
    shop.call("POST", "orders/o/top-ups", {"reference": "t", "bytes": 10})
    assert shop.next_change() == ("o", "active")
    push(10)
    assert shop.next_change() == ("o", "exhausted")
    shop.call("POST", "orders/o/renewals", {"reference": "n"})
    assert shop.next_change() == ("o", "active")
    assert shop.call("GET", "orders/o")["order"]["bytesLeft"] == 1000
    shop.call("PUT", "orders/o", {**order, "proxyUsers": [{"login": "l", "limits": {"totalBytes": 1100}}]})
    push(90)
    assert shop.next_change() == ("o", "exhausted")  # the login alone: its order has bytes left
    assert shop.call("GET", "orders/o")["order"]["state"] == "active"
    shop.call("PUT", "orders/o", {**order, "proxyUsers": [{"login": "l", "limits": {"totalBytes": 1101}}]})
    assert shop.next_change() == ("o", "active")
