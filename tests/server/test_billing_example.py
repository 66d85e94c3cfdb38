"""The billing system in docs/examples sells, renews, stops and bills against a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests.serving import ROOT, Server, manage, row

GB = 2**30


class ExampleShop:
    """The example as its user runs it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.key = manage(
            server.data_dir, "create_api_key", "admin", "--name", "shop", "--scope", "provision"
        ).stdout.strip()

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {"FONPROXY_URL": self.server.url, "FONPROXY_KEY": self.key, **environment}
        command = [sys.executable, str(ROOT / "docs/examples/billing.py"), *arguments]
        return subprocess.run(command, env=os.environ | given, capture_output=True, text=True, check=False, timeout=120)

    def done(self, *arguments: str) -> str:
        ended = self.run(*arguments)
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    def order(self, name: str) -> dict[str, object]:
        answer = self.server.call("GET", f"/provisioning/orders/{name}", x_api_key=self.key)
        found: dict[str, object] = answer.json["order"]
        return found


@pytest.fixture(scope="module")
def shop(server: Server) -> ExampleShop:
    return ExampleShop(server)


def test_an_order_is_sold_once_and_renewed_once_per_invoice(shop: ExampleShop) -> None:
    create = ("create", "c-1", "o-1", "carol@example.com", "10")
    link, password = shop.done(*create).split()
    assert link.startswith("http")
    assert len(password) == 20
    sold = shop.order("o-1")
    assert (sold["user"], sold["bytesLeft"], sold["proxyUsers"]) == ("c-1", 10 * GB, ["o-1"])
    assert len(shop.done(*create).split()) == 1  # the password is shown once
    assert shop.order("o-1") == sold
    for _ in range(2):
        assert shop.done("renew", "o-1", "invoice-1", "2090-01-31") == "10.0 GB until 2090-02-01T00:00:00Z\n"
    for command, state in (("suspend", "suspended"), ("resume", "active"), ("expire", "expired")):
        shop.done(command, "o-1")
        assert shop.order("o-1")["state"] == state


def test_a_closed_month_is_billed_by_external_ids(shop: ExampleShop) -> None:
    shop.done("create", "c-2", "o-2", "dave@example.com", "100")
    closed = datetime.now(UTC).replace(day=1) - timedelta(days=40)
    pushed = row(ts=f"{closed:%Y-%m-%d} 12:00:00", proxy_user="o-2", bytes_sent=GB, bytes_received=GB)
    assert shop.server.push(pushed).status == 204
    bill = dict(line.split(maxsplit=1) for line in shop.done("bill", f"{closed:%Y-%m}", "3.50").splitlines())
    assert bill["c-2"] == "1 7.00"  # the row arrived after the month had closed
    assert shop.server.push(row(proxy_user="o-2")).status == 204
    early = shop.run("bill", f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m}", "3.50")
    assert (early.returncode, early.stderr[7:]) == (1, " is not closed yet.\n")


def test_refusals_are_reported(shop: ExampleShop) -> None:
    unknown = shop.run("renew", "nothing", "invoice-1", "2090-01-31")
    assert (unknown.returncode, unknown.stderr) == (1, "POST orders/nothing/renewals: Not found.\n")
    refused = shop.run("suspend", "o-1", FONPROXY_KEY="fnp_wrong")
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    helped = shop.run()
    assert (helped.returncode, "python billing.py create" in helped.stderr) == (1, True)
