"""Stand-ins for Slack, Discord, Telegram and Microsoft Teams: real TLS under their names, on the loopback.

A client reaches them as it reaches anything through a proxy: HTTPS_PROXY names one that answers for these hosts itself,
and REQUESTS_CA_BUNDLE the authority that signed their certificates. The answers are those in the services'
documentation.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TEAMS = "prod-15.westus.logic.azure.com"
TARGETS = {
    "slack": "https://hooks.slack.com/services/T1JJ3T3L2/B1BRTD4JD/TIiajkdnlazkcOXrIdevi7",
    "discord": "https://discord.com/api/webhooks/4174216298000/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "telegram": "tgram://123456789:alphanumericABCDEFGHIJ_klmnopqrs-tuv/-1001234",
    "msteams": f"https://{TEAMS}:443/workflows/abcdef0123/triggers/manual/paths/invoke"
    "?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=aBcD-eF_gHiJkL",
}
ANSWERS = {
    "hooks.slack.com": (200, b"ok"),
    "discord.com": (200, b'{"id": "1", "type": 0}'),
    "api.telegram.org": (200, b'{"ok": true, "result": {"message_id": 1}}'),
    TEAMS: (202, b""),
}
REFUSALS = {
    "hooks.slack.com": (404, b"no_service"),
    "discord.com": (404, b'{"message": "Unknown Webhook", "code": 10015}'),
    "api.telegram.org": (403, b'{"ok": false, "error_code": 403, "description": "Forbidden: bot was kicked"}'),
    TEAMS: (401, b'{"error": {"code": "DirectApiAuthorizationRequired"}}'),
}


@dataclass
class Chats:
    """Records what arrived: host, path and body.

    ``mode`` is ``answer``, ``refuse``, ``hang``, ``slow`` or ``redirect``.
    """

    mode: str = "answer"
    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event, repr=False)


@contextmanager
def chats(directory: Path, monkeypatch: Any) -> Iterator[Chats]:
    authority = directory / "authority.pem"
    context = _certificates(directory, authority)
    running = Chats()

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            host = self.headers["Host"].partition(":")[0]
            body = self.rfile.read(int(self.headers["Content-Length"]))
            running.calls.append((host, self.path, msgspec.json.decode(body)))
            if running.mode == "hang":
                running.is_over.wait(60)
            if running.mode == "slow":
                time.sleep(1)
            status, text = (REFUSALS if running.mode == "refuse" else ANSWERS)[host]
            self.send_response(307 if running.mode == "redirect" else status)
            if running.mode == "redirect":
                self.send_header("Location", f"https://{host}/elsewhere")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class TunnelHandler(StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with suppress(OSError), context.wrap_socket(self.connection, server_side=True) as tls:
                Service(tls, self.client_address, self.server)

    class ConnectProxy(ThreadingTCPServer):
        daemon_threads = True

    with ConnectProxy(("127.0.0.1", 0), TunnelHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
        try:
            yield running
        finally:
            running.is_over.set()
            server.shutdown()


def _certificates(directory: Path, authority: Path) -> ssl.SSLContext:
    """Writes a certificate authority; returns the certificate with which a server can be each of the hosts."""
    now = datetime.now(UTC)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])

    def signed(name: x509.Name, public_key: Any, *extensions: tuple[x509.ExtensionType, bool]) -> bytes:
        builder = x509.CertificateBuilder(root_name, name, public_key, x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(root_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    identifier = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    authority.write_bytes(
        signed(
            root_name,
            root_key.public_key(),
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (identifier, False),
            (usage, True),
        )
    )
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in ANSWERS])
    leaf = signed(
        x509.Name([]),
        key.public_key(),
        (names, True),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "hosts.pem").write_bytes(leaf + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "hosts.pem")
    return context
