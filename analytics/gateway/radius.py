"""RADIUS Accounting-Requests, as sent by FreeRADIUS's ``rlm_rest``, as samples."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

from analytics.gateway.samples import KEPT, MAX_SESSION_LENGTH, SessionSample
from analytics.ingest.checks import AHEAD, are_addresses
from analytics.ingest.schema import MAX_AMOUNT
from fonproxy.api.errors import FieldError, InvalidInput
from orders.gateway.radius import Attributes

START: Final = frozenset({"Start", "1"})
STOP: Final = frozenset({"Stop", "2"})
COUNTED: Final = frozenset({"Interim-Update", "3"}) | START | STOP
WHOLE_SERVER: Final = frozenset({"Accounting-On", "Accounting-Off", "7", "8"})
GIGAWORD: Final = 2**32
# The start is computed from the session's length, in whole seconds, and the time of the packet.
TOLERANCE: Final = timedelta(seconds=60)
# A NAS without a real-time clock starts in 1970 after each power-on.
CLOCK_IS_SET: Final = datetime(2000, 1, 1, tzinfo=UTC)


def worker_of(given: Attributes) -> str:
    """The proxy server's name: that of the NAS."""
    names = ("NAS-Identifier", "NAS-IP-Address", "NAS-IPv6-Address")
    return _storable(next((text for name in names if (text := given.text(name))), ""))[:255]


def is_of_whole_server(given: Attributes) -> bool:
    return given.text("Acct-Status-Type") in WHOLE_SERVER


def sample_of(given: Attributes, now: datetime) -> SessionSample:
    """The sample of a packet. Raises InvalidInput for an invalid packet."""
    status, login = given.text("Acct-Status-Type"), given.text("User-Name")
    session = _session_name(given.text("Acct-Session-Id") or "")
    if status not in COUNTED:
        raise _bad("Acct-Status-Type", "Must be Start, Interim-Update, Stop, Accounting-On or Accounting-Off.")
    if not session or not login:
        raise _bad("User-Name" if session else "Acct-Session-Id", "Is required.")
    client = given.text("Calling-Station-Id") or ""
    sent_at = _event_time(given, now) or now - timedelta(seconds=min(given.number("Acct-Delay-Time"), 86_400))
    # Some NASs send the length with Stop only; other packets then belong to the running session of this id.
    is_dated = status in START or given.text("Acct-Session-Time") is not None
    return SessionSample(
        session=session,
        worker=worker_of(given),
        login=_storable(login)[:255],
        started_at=sent_at - timedelta(seconds=min(given.number("Acct-Session-Time"), 2**32)),
        tolerance=TOLERANCE if is_dated else KEPT,
        bytes_sent=_octets(given, "Input"),
        bytes_received=_octets(given, "Output"),
        ended=status in STOP,
        ip_from=client if are_addresses([client]) else "",
    )


def _octets(given: Attributes, direction: str) -> int:
    """Octets including Gigawords, the number of overflows of 32 bits.

    ``Input`` is what the NAS received from the customer.
    """
    gigawords, octets = f"Acct-{direction}-Gigawords", f"Acct-{direction}-Octets"
    for name in (gigawords, octets):
        if not given.is_number(name):
            raise _bad(name, "Must be a whole number.")
    sum_ = given.number(gigawords) * GIGAWORD + given.number(octets)
    if sum_ > MAX_AMOUNT:
        raise _bad(gigawords, "Is too large.")
    return sum_


def _event_time(given: Attributes, now: datetime) -> datetime | None:
    """``Event-Timestamp``, which ``rlm_rest`` writes as ``Nov 29 2026 22:00:00 UTC`` or as seconds.

    None for a clock that was never set, or that is more than a day ahead.
    """
    text, seconds = given.text("Event-Timestamp") or "", given.number("Event-Timestamp")
    try:
        if seconds:
            sent_at = datetime.fromtimestamp(min(seconds, 2**33), UTC)
        else:
            sent_at = datetime.strptime(text, "%b %d %Y %H:%M:%S UTC").replace(tzinfo=UTC)
    except ValueError:
        return None
    return sent_at if CLOCK_IS_SET <= sent_at <= now + AHEAD else None


def _session_name(session: str) -> str:
    """The session id, or its hash if it is too long to store."""
    name = _storable(session)
    return name if len(name) <= MAX_SESSION_LENGTH else hashlib.sha256(name.encode()).hexdigest()


def _storable(text: str) -> str:
    """The text without NUL and without unpaired surrogates, into which bytes that are not text are decoded."""
    return text.encode(errors="replace").decode().replace("\0", "")


def _bad(attribute: str, message: str) -> InvalidInput:
    return InvalidInput("The packet was not counted.", errors=[FieldError(attribute, message)])
