"""Calls of the APIs, and the lists that come in pages."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

ATTEMPTS = 4
MAX_WAIT_SECONDS = 60.0
REPEATED = (429, 503)


class ApiError(Exception):
    """A refusal. ``errors`` lists what is wrong with which field."""

    def __init__(self, status: int, answer: Any, request_id: str) -> None:
        found = answer if isinstance(answer, dict) else {}
        error = found.get("error")
        nested = error if isinstance(error, dict) else {}
        # Byteful's `error` is only the name of the status, FonProxy's `message` only a key.
        texts = (found.get("detail"), nested.get("message"), found.get("message"), error)
        self.status = status
        self.message = next((text for text in texts if isinstance(text, str)), "No message.")
        self.errors: Any = found.get("errors") or nested.get("details") or []
        self.request_id = request_id
        super().__init__(f"{status}: {self.message} (request {request_id})")


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would carry the key to where it points."""

    def redirect_request(self, *_: Any) -> None:
        return None


class FonProxyClient:
    """One account, by its API key. May be shared by threads."""

    def __init__(self, base_url: str, key: str, *, timeout: float = 30.0) -> None:
        if not base_url.startswith(("https://", "http://")):
            raise ValueError("The base URL must begin with https:// or http://.")
        self._base = base_url.rstrip("/")
        self._headers = {"x-api-key": key, "Accept": "application/json", "User-Agent": "fonproxy-client/0.1"}
        self._timeout = timeout
        self._opener = build_opener(_NoRedirect)

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a read. Parameters that are None are left out; ``from_`` stands for ``from``."""
        given = {name.rstrip("_"): value for name, value in params.items() if value is not None}
        query = f"?{urlencode(given, doseq=True)}" if given else ""
        for attempt in range(ATTEMPTS):
            try:
                return self._call("GET", f"{path}{query}")
            except _Busy as busy:
                if attempt == ATTEMPTS - 1:
                    raise busy.error from None
                time.sleep(min(busy.wait, MAX_WAIT_SECONDS))
        raise AssertionError

    def post(self, path: str, body: Any, *, idempotency_key: str | None = None) -> Any:
        return self._change("POST", path, body, {"Idempotency-Key": idempotency_key} if idempotency_key else {})

    def patch(self, path: str, body: Any) -> Any:
        return self._change("PATCH", path, body)

    def delete(self, path: str) -> None:
        self._change("DELETE", path)

    def analytics(self, report: str, start: str, end: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Rows of traffic, requests, concurrency, domains, errors, countries or websites, of all pages."""
        page = 1
        while True:
            paging = {"page": page} if report == "websites" else {}
            answer = self.get(f"/analytics/{report}", **{"from": start, "to": end}, **params, **paging)
            yield from answer["data"]
            if page >= answer.get("totalPages", 1):
                return
            page += 1

    def usage(self, period: str = "month", **params: Any) -> Any:
        """Totals of today, the week, the month or all, by subscription and country."""
        return self.get("/api/v1/usage", period=period, **params)["data"]

    def subscriptions(self, **filters: Any) -> Iterator[dict[str, Any]]:
        page = 1
        while True:
            answer = self.get("/api/v1/subscriptions", page=page, **filters)
            yield from answer["data"]
            if page >= answer["pagination"]["total_pages"]:
                return
            page += 1

    def search(self, what: str, **filters: Any) -> Iterator[dict[str, Any]]:
        """Rows of log, log_summary, residential_ledger or mobile_ledger, of all pages."""
        page, seen = 1, 0
        while True:
            answer = self.get(f"/{what}/search", page=page, **filters)
            yield from answer["data"]
            seen += len(answer["data"])
            if not answer["data"] or seen >= answer["total_count"]:
                return
            page += 1

    def ingest(self, rows: list[dict[str, Any]], *, idempotency_key: str) -> None:
        """For a gateway's key: pushes rows of traffic. Repeat it under the same key until it returns."""
        self.post("/analytics/ingest", {"logs": rows}, idempotency_key=idempotency_key)

    def _change(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        try:
            return self._call(method, path, body, headers)
        except _Busy as busy:
            raise busy.error from None

    def _call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        given = self._headers | (headers or {}) | ({"Content-Type": "application/json"} if data is not None else {})
        request = Request(f"{self._base}{path}", data, given, method=method)  # noqa: S310  # http or https
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                text = response.read()
        except HTTPError as refusal:
            raise _refused(refusal) from None
        return json.loads(text) if text else None


class _Busy(Exception):
    """Worth another attempt after ``wait`` seconds."""

    def __init__(self, error: ApiError, wait: float) -> None:
        super().__init__(error)
        self.error = error
        self.wait = wait


def _refused(refusal: HTTPError) -> ApiError | _Busy:
    with refusal:
        try:
            answer = json.loads(refusal.read())
        except ValueError:
            answer = None
    error = ApiError(refusal.code, answer, refusal.headers.get("X-Request-Id", ""))
    if refusal.code not in REPEATED:
        return error
    wait = refusal.headers.get("Retry-After", "")
    return _Busy(error, float(wait) if wait.isascii() and wait.isdigit() else 1.0)
