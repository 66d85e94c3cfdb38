"""Accounting-Requests of RADIUS, as FreeRADIUS's ``rlm_rest`` sends them, as samples."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

from analytics.gateway.samples import KEPT, MAX_SESSION_LENGTH, SessionSample
from analytics.ingest.checks import are_addresses
from analytics.ingest.schema import MAX_AMOUNT
from fonproxy.api.errors import FieldError, InvalidInput
from orders.gateway.radius import Attributes

START: Final = frozenset({"Start", "1"})
STOP: Final = frozenset({"Stop", "2"})
COUNTED: Final = frozenset({"Interim-Update", "3"}) | START | STOP
WHOLE_SERVER: Final = frozenset({"Accounting-On", "Accounting-Off", "7", "8"})
GIGAWORD: Final = 2**32
# Start is reckoned from the length of the session, in whole seconds, when the packet was sent.
TOLERANCE: Final = timedelta(seconds=60)


def worker_of(given: Attributes) -> str:
    """The proxy server's name, by RADIUS the NAS."""
    names = ("NAS-Identifier", "NAS-IP-Address", "NAS-IPv6-Address")
    return _storable(next((text for name in names if (text := given.text(name))), ""), 255)


def is_of_whole_server(given: Attributes) -> bool:
    return given.text("Acct-Status-Type") in WHOLE_SERVER


def sample_of(given: Attributes, now: datetime) -> SessionSample:
    """Raises InvalidInput for a packet that counts nothing."""
    status, session, login = (given.text(name) for name in ("Acct-Status-Type", "Acct-Session-Id", "User-Name"))
    if status not in COUNTED:
        raise _bad("Acct-Status-Type", "Must be Start, Interim-Update, Stop, Accounting-On or Accounting-Off.")
    if not session or not login:
        raise _bad("User-Name" if session else "Acct-Session-Id", "Is required.")
    client = given.text("Calling-Station-Id") or ""
    sent_at = _event_time(given) or now - timedelta(seconds=min(given.number("Acct-Delay-Time"), 86_400))
    # Some NASs send the length with Stop only: any other packet then belongs to the session of this id that runs.
    is_dated = status in START or given.text("Acct-Session-Time") is not None
    return SessionSample(
        session=_session_name(session),
        worker=worker_of(given),
        login=_storable(login, 255),
        started_at=sent_at - timedelta(seconds=min(given.number("Acct-Session-Time"), 2**32)),
        tolerance=TOLERANCE if is_dated else KEPT,
        bytes_sent=_octets(given, "Input"),
        bytes_received=_octets(given, "Output"),
        ended=status in STOP,
        ip_from=client if are_addresses([client]) else "",
    )


def _octets(given: Attributes, direction: str) -> int:
    """``Input`` is what the NAS received from the customer. Gigawords count the times that 32 bits ran over."""
    octets = given.number(f"Acct-{direction}-Gigawords") * GIGAWORD + given.number(f"Acct-{direction}-Octets")
    if octets > MAX_AMOUNT:
        raise _bad(f"Acct-{direction}-Gigawords", "Is too large.")
    return octets


def _event_time(given: Attributes) -> datetime | None:
    """``Event-Timestamp``, which ``rlm_rest`` writes as ``Nov 29 2026 22:00:00 UTC`` or as seconds."""
    text = given.text("Event-Timestamp") or ""
    if seconds := given.number("Event-Timestamp"):
        return datetime.fromtimestamp(seconds, UTC) if seconds < 2**33 else None
    try:
        return datetime.strptime(text, "%b %d %Y %H:%M:%S UTC").replace(tzinfo=UTC)
    except ValueError:
        return None


def _session_name(session: str) -> str:
    """The id, or for one that is too long to store, its hash."""
    name = session.replace("\0", "")
    return name if len(name) <= MAX_SESSION_LENGTH else hashlib.sha256(name.encode(errors="replace")).hexdigest()


def _storable(text: str, length: int) -> str:
    return text.replace("\0", "")[:length]


def _bad(attribute: str, message: str) -> InvalidInput:
    return InvalidInput("The packet counts nothing.", errors=[FieldError(attribute, message)])
