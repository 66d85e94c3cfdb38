"""FonProxy's counting of pushed rows and of session counters, per login."""

from __future__ import annotations

from collections import Counter
from typing import Any

from stand_in import StandIn


class Counting:
    """Attached to a stand-in: a session counts with its largest reported counters; its start identifies it."""

    def __init__(self, server: StandIn) -> None:
        self._server = server
        self.sessions: dict[str, dict[str, Any]] = {}
        self.is_away = False
        self.unknown: set[str] = set()
        server.answer = self._answer

    def received(self) -> Counter[str]:
        """Bytes to the customer."""
        return self._sum("bytesReceived", "bytes_received")

    def requests(self) -> Counter[str]:
        return self._sum("requests", "count")

    def _sum(self, of_session: str, of_row: str) -> Counter[str]:
        counts: Counter[str] = Counter()
        for session in list(self.sessions.values()):
            counts[session["login"]] += session.get(of_session, 0)
        for row in list(self._server.rows):
            counts[row["proxy_user"]] += row[of_row]
        return counts

    def _answer(self, path: str, body: Any) -> tuple[int, Any]:
        if self.is_away or path != "/gateway/sessions":
            return 503, {}
        samples = body["samples"]
        bad = [index for index, sample in enumerate(samples) if sample["login"] in self.unknown]
        if bad:
            errors = [{"index": index, "field": "login", "message": "is unknown"} for index in bad]
            return 400, {"detail": "bad", "errors": errors}
        for sample in samples:
            identity = " ".join(sample[name] for name in ("session", "worker", "login", "startedAt"))
            known = self.sessions.setdefault(identity, dict(sample))
            for name in ("bytesSent", "bytesReceived", "requests"):
                known[name] = max(known.get(name, 0), sample.get(name, 0))
        return 204, b""
