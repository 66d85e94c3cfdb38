"""A web server and a mail server that behave as a test needs."""

from __future__ import annotations

import asyncio
import base64
import email
import hmac
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller


@dataclass
class WebhookReceiver:
    """Answers by path: ``/ok``, ``/fail``, ``/redirect``, ``/hang``, ``/hang-fail``, ``/drip``; records the calls."""

    port: int = 0
    calls: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set to end what hangs."""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def wait_for(self, count: int, seconds: float = 30) -> None:
        """Returns once this many calls have arrived, whether or not they are answered."""
        deadline = time.monotonic() + seconds
        while len(self.calls) < count:
            assert time.monotonic() < deadline, f"{len(self.calls)} of {count} calls arrived"
            time.sleep(0.02)


def expected_signature(secret: str, headers: dict[str, str], body: bytes) -> str:
    """The ``Webhook-Signature`` that the Standard Webhooks specification requires, computed without FonProxy's code."""
    signed = f"{headers['Webhook-Id']}.{headers['Webhook-Timestamp']}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(base64.b64decode(secret), signed, "sha256")).decode()


@contextmanager
def web() -> Iterator[WebhookReceiver]:
    receiver = WebhookReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.calls.append((self.path, dict(self.headers), body))
            path = self.path.partition("?")[0]
            if path in ("/hang", "/hang-fail"):
                receiver.is_over.wait(60)
            if path == "/drip":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
                while not receiver.is_over.wait(0.2):
                    self.wfile.write(b"x")
            self.send_response({"/ok": 204, "/fail": 500, "/hang-fail": 500, "/redirect": 302}.get(path, 200))
            self.send_header("Location", receiver.url("ok"))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up are the point
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.is_over.set()
        server.shutdown()
        server.server_close()


@dataclass
class Mailbox:
    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    is_refusing: bool = False
    is_hanging: bool = False
    is_slow: bool = False
    unknown: set[str] = field(default_factory=set)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if address in self.unknown:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.is_refusing:
            return "451 try later"
        if self.is_slow:
            await asyncio.sleep(1)
        while self.is_hanging:
            await asyncio.sleep(0.05)
        parsed = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append(parsed)
        return "250 OK"

    def wait_for(self, count: int, seconds: float = 20) -> list[EmailMessage]:
        deadline = time.monotonic() + seconds
        while len(self.mails) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.mails


@contextmanager
def smtp(port: int) -> Iterator[Mailbox]:
    mailbox = Mailbox(port)
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()
