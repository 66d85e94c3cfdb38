"""The example program in the docs that follows the cut-off feed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import ROOT, Server
from tests.waiting import wait_for

PROGRAM = ROOT / "docs/examples/follow_cut_off.py"


class FeedWriter:
    """The provider's own systems: a customer with an order of two logins, and an API key for a gateway."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._token = ""
        self._token = self.ask("POST", "/auth/token", username="admin", password=server.keys["PASSWORD"])["access"]
        self.key = self.ask("POST", "/api-keys", name="gateway", scopes=["gateway"])["apiKey"]["key"]
        name = uuid.uuid4().hex
        self.order, self.logins = f"/provisioning/orders/{name}", [f"{name}-1", f"{name}-2"]
        self.ask("PUT", f"/provisioning/users/{name}", username=name, email=f"{name}@example.com")
        self.ask(
            "PUT",
            self.order,
            user=name,
            name="Residential",
            proxyType="residential-giga",
            trafficLimitBytes=2**30,
            startsAt="2026-01-01T00:00:00Z",
            expiresAt="2099-01-01T00:00:00Z",
            proxyUsers=self.logins,
        )

    def ask(self, method: str, path: str, **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        sent = json.dumps(body).encode()
        answer = self._server.call(method, path, sent, Content_Type="application/json", **headers)
        assert answer.status in (200, 201), answer.body
        return answer.json


@pytest.fixture
def provider(server: Server) -> FeedWriter:
    return FeedWriter(server)


@pytest.fixture
def stopped(server: Server, provider: FeedWriter, tmp_path: Path) -> Iterator[Path]:
    """The file that the running program maintains."""
    environment = os.environ | {"FONPROXY_URL": server.url, "FONPROXY_KEY": provider.key}
    process = subprocess.Popen([sys.executable, str(PROGRAM)], cwd=tmp_path, env=environment)
    try:
        wait_for((tmp_path / "stopped").exists)
        yield tmp_path / "stopped"
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_it_keeps_exactly_the_stopped_logins(provider: FeedWriter, stopped: Path) -> None:
    def are_stopped() -> list[str]:
        return [login for login in stopped.read_text().splitlines() if login in provider.logins]

    assert are_stopped() == []
    provider.ask("POST", f"{provider.order}/suspend")
    wait_for(lambda: are_stopped() == provider.logins)
    provider.ask("POST", f"{provider.order}/resume")
    wait_for(lambda: are_stopped() == [])
