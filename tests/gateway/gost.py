"""A client that authenticates and reports as gost's documentation describes for its ``http`` plugins.

It is not gost, because gost is in no Debian package. It follows gost.run, *Authentication* and *Observer*: the auther
plugin POSTs ``username``, ``password`` and ``client``; the observer plugin POSTs, once per period, the totals of each
client of a service since gost started, and expects ``{"ok": true}``.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import Any

import urllib3

from tests.serving import ROOT

ADDRESS = re.compile(r"addr: https://(\S+)@usage\.example\.com(\S+)")


class GostClient:
    """One process of gost with ``ops/gost/gost.yaml``; another one starts its totals from zero."""

    def __init__(self, url: str, key: str) -> None:
        text = (ROOT / "ops/gost/gost.yaml").read_text().replace("fnp_REPLACE", key)
        (credentials, self._auth), (_, self._observe) = ADDRESS.findall(text)
        # Go's HTTP client sends the user part of a URL this way.
        self._headers = {"Authorization": f"Basic {b64encode(credentials.encode()).decode()}"}
        self._url = url
        self._stats: dict[str, dict[str, int]] = {}

    def sign_in(self, username: str, password: str) -> str | None:
        """The id under which gost counts the client, or None if it is refused."""
        asked = {"username": username, "password": password, "client": "127.0.0.1:49123"}
        answer = self._post(self._auth, asked)
        return answer["id"] if answer["ok"] else None

    def connect(self, client: str) -> None:
        stats = self._stats.setdefault(
            client, dict.fromkeys(("totalConns", "currentConns", "inputBytes", "outputBytes", "totalErrs"), 0)
        )
        stats["totalConns"] += 1
        stats["currentConns"] += 1

    def move(self, client: str, sent: int, received: int) -> None:
        self._stats[client]["inputBytes"] += sent
        self._stats[client]["outputBytes"] += received

    def disconnect(self, client: str) -> None:
        self._stats[client]["currentConns"] -= 1

    def observe(self) -> None:
        """What gost does once per ``observer.period``."""
        service = {"kind": "service", "service": "socks", "type": "status", "status": {"state": "ready", "msg": ""}}
        events = [
            {"kind": "handler", "service": "socks", "client": client, "type": "stats", "stats": stats}
            for client, stats in self._stats.items()
        ]
        assert self._post(self._observe, {"events": [service, *events]}) == {"ok": True}

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        headers = self._headers | {"Content-Type": "application/json"}
        answer = urllib3.request("POST", self._url + path, body=json.dumps(body), headers=headers, timeout=120.0)
        assert answer.status == 200, answer.data
        return answer.json()
