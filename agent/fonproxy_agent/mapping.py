"""Lines of any log as requests, by a mapping of their fields: JSON, or a regular expression with named groups."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from fonproxy_agent.config import MappingConfig
from fonproxy_agent.errors import UsageError
from fonproxy_agent.request import (
    MAX_AMOUNT,
    MAX_LINE,
    MAX_SECOND,
    MAX_TEXT,
    Ignored,
    LineError,
    Request,
    amount,
    canonical_ip,
    login_text,
    text_of,
    without_cut_line,
)

FIELDS: Final = frozenset(
    ("time", "duration", "login", "target", "sent", "received", "method", "status", "client", "error")
)
REQUIRED: Final = ("time", "login", "received")
_NONE: Final = (None, "", "-")
# nginx and Apache write quotes, backslashes and other bytes like this, which is not JSON.
_HEX_ESCAPES: Final = re.compile(r"(?:\\x[0-9A-Fa-f]{2})+")
_LEAP_SECOND: Final = re.compile(r"(:[0-9]{2}):60(?![0-9])")
_HOST: Final = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*://)?(?:[^/?#@\s]*@)?(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]/?#@:\s]+)).*", re.DOTALL
)

# The formats in which the example configurations under ops/ let these programs write their logs.
PRESETS: Final = {
    "haproxy": MappingConfig(
        fields={name: name for name in sorted(FIELDS - {"error"})},
        time_is="start",
        failed_sign_in=r'"status":40[17],"state":"[PL]R',
        refused=r'"status":(?:403|413|429),"state":"PR',
    ),
    "envoy": MappingConfig(
        fields={
            "time": "start_time",
            "duration": "duration",
            "login": "login",
            "target": "authority",
            "sent": "bytes_received",
            "received": "bytes_sent",
            "method": "method",
            "status": "response_code",
            "client": "downstream_remote_address",
        },
        time_format="iso",
        time_is="start",
        # Envoy's own answer, not an origin's: a filter refused the sign-in, and the login may be what the client sent.
        failed_sign_in=r'^(?=.*"response_code":\s*"?40[137])(?=.*"response_code_details":\s*"(?!via_upstream"))',
    ),
    # The end of a connection is logged in a tcp/accept line and in one of its command; the latter counts.
    "dante": MappingConfig(
        format="regex",
        pattern=r"\((?P<time>\d++\.\d++)\) \S+\[\d+\]: info: pass\(\d+\): "
        r"(?:tcp/connect|tcp/bind|udp/udpassociate) \]: (?P<received>\d+) -> "
        r"(?:[\w.]+%(?P<login>\S.*?)@)?(?P<client>[0-9A-Fa-f.:]+)\.\d+ \S+ -> (?P<sent>\d+), \d+ -> "
        r"(?:\S+ )?(?P<target>\S+)\.\d+ -> \d+(?:: .*Session duration: (?P<duration>\d+)s)?",
        duration_unit="s",
        ignore=r"info: (?:pass|block)\(\d+\): (?:tcp/accept |\S+ [\[-]: )|info: (?:block\(|Dante/server|\w+\(\): )"
        r"|alert: mother\[",
    ),
    # logformat "- +_L%t.%. %N.%p %E %U %C:%c %R:%r %O %I %h %T"
    "3proxy": MappingConfig(
        format="regex",
        # Behind white space or RFC 5424's byte order mark: a syslog daemon may have put something in front.
        pattern=r"(?<![^\s\ufeff])(?P<time>\d++\.\d++) \S+ (?P<error>\d+) (?P<login>\S+) (?P<client>\S+):\d+ \S+ "
        r"(?P<sent>\d+) (?P<received>\d+) \d+(?: (?:[A-Z]+_)?(?P<target>[^\s_]*)|$)",
        failed_sign_in=r"(?<![^\s\ufeff])\d++\.\d++ \S+ 0000[1-9] ",
    ),
}


class MappedFormat:
    """Parses lines by a mapping. Raises UsageError for a mapping that cannot work."""

    def __init__(self, config: MappingConfig) -> None:
        self._config = config
        try:
            self._pattern = re.compile(config.pattern)
            self._ignore = re.compile(config.ignore) if config.ignore else None
            self._failed_sign_in = re.compile(config.failed_sign_in) if config.failed_sign_in else None
            self._refused = re.compile(config.refused) if config.refused else None
        except re.error as error:
            raise UsageError(f"A regular expression of [mapping] is wrong: {error}.") from None
        names = set(config.fields) if config.format == "json" else set(self._pattern.groupindex)
        if unknown := sorted(names - FIELDS):
            raise UsageError(f"[mapping] knows no field {unknown[0]!r}: it has {', '.join(sorted(FIELDS))}.")
        if missing := [name for name in REQUIRED if name not in names]:
            raise UsageError(f"[mapping] must have the field {missing[0]!r}.")
        self._names = names

    def parse(self, line: bytes) -> Request | LineError | Ignored:
        """The request of one line, given with its line end; never raises."""
        if not line.endswith(b"\n"):
            return LineError.TRUNCATED
        text = text_of(line[:MAX_LINE].strip(b"\0 \t\r\n").removeprefix(b"\xef\xbb\xbf"))
        if not text:
            return LineError.EMPTY
        for part in without_cut_line(text):
            found = self._parse(part)
            if found is not LineError.FORMAT:
                break
        return found

    def _parse(self, text: str) -> Request | LineError | Ignored:
        field = self._from_json(text) if self._config.format == "json" else self._from_pattern(text)
        if field is None:
            is_ignored = self._ignore is not None and self._ignore.search(text)
            return Ignored() if is_ignored else LineError.FORMAT
        return self._request(field, text)

    def time_of(self, line: bytes) -> int | None:
        """When the request of a line ended, in milliseconds since the epoch; None if the line cannot be read."""
        request = self.parse(line)
        return request.end_ms if isinstance(request, Request) else None

    def _from_json(self, text: str) -> Mapping[str, Any] | None:
        """Skips a syslog prefix before the object."""
        written = text[text.find("{") :]
        found = _from_json(written)
        if found is None and _HEX_ESCAPES.search(written):
            found = _from_json(_HEX_ESCAPES.sub(_json_escaped, written))
        return None if found is None else {name: _at(found, path) for name, path in self._config.fields.items()}

    def _from_pattern(self, text: str) -> Mapping[str, Any] | None:
        found = self._pattern.search(text)
        return found.groupdict() if found else None

    def _request(self, field: Mapping[str, Any], text: str) -> Request | LineError:
        at_ms = self._milliseconds(field["time"])
        received, sent = _count(field["received"]), _count(field.get("sent", 0 if "sent" not in self._names else None))
        if at_ms is None or received is None or sent is None:
            return LineError.NUMBER
        duration_ms = _duration_ms(field.get("duration"), 1000 if self._config.duration_unit == "s" else 1)
        end_ms = at_ms + (duration_ms if self._config.time_is == "start" else 0)
        if end_ms > MAX_SECOND * 1000:
            return LineError.NUMBER
        login = field["login"]
        error = field.get("error")
        status = _count(field.get("status")) or 0
        client = str(field.get("client") or "")
        is_refused = bool(self._refused and self._refused.search(text))
        return Request(
            end_ms=end_ms,
            duration_ms=duration_ms,
            login="" if login in _NONE else login_text(str(login).encode(errors="replace")),
            domain=_domain(field.get("target")),
            error=f"denied/{status}"
            if is_refused
            else ""
            if error in _NONE or set(str(error)) == {"0"}
            else _text(error),
            bytes_sent=0 if is_refused else sent,
            bytes_received=0 if is_refused else received,
            method=_text(field.get("method") or ""),
            status=status if status <= 999 else 0,
            client=canonical_ip(client) or canonical_ip(client.rpartition(":")[0].strip("[]")),
            is_failed_sign_in=bool(self._failed_sign_in and self._failed_sign_in.search(text)),
            is_refused=is_refused,
        )

    def _milliseconds(self, value: Any) -> int | None:
        if self._config.time_format == "iso":
            return _from_iso(value)
        if self._config.time_format == "clf":
            return _from_clf(value)
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return None
        seconds = number / 1000 if self._config.time_format == "epoch_ms" else number
        return round(seconds * 1000) if 0 <= seconds <= MAX_SECOND else None


def _at(found: Any, path: str) -> Any:
    """The value at a path of keys with dots between them; None if there is none."""
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str | int | float) else None


def _from_json(text: str) -> Any:
    """The value; None for other text. A control character inside of a string is accepted."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _json_escaped(escapes: re.Match[str]) -> str:
    return json.dumps(text_of(bytes.fromhex(escapes[0].replace("\\x", ""))))[1:-1]


def _from_iso(value: Any) -> int | None:
    """A time without a zone is UTC."""
    try:
        at = datetime.fromisoformat(_without_leap_second(value))
    except (TypeError, ValueError):
        return None
    return _epoch_ms(at if at.tzinfo else at.replace(tzinfo=UTC))


def _from_clf(value: Any) -> int | None:
    """A time in the Common Log Format: ``29/Nov/2026:22:07:51 +0000``."""
    try:
        return _epoch_ms(datetime.strptime(_without_leap_second(value), "%d/%b/%Y:%H:%M:%S %z"))
    except (TypeError, ValueError):
        return None


def _without_leap_second(text: str) -> str:
    """A leap second becomes the second before it, because Python knows none."""
    return _LEAP_SECOND.sub(r"\1:59", text)


def _epoch_ms(at: datetime) -> int | None:
    milliseconds = round(at.timestamp() * 1000)
    return milliseconds if milliseconds >= 0 else None


def _duration_ms(value: Any, unit_ms: int) -> int:
    """0 for an invalid duration, because nothing is billed by it."""
    try:
        milliseconds = float(value) * unit_ms
    except (TypeError, ValueError, OverflowError):
        return 0
    return round(milliseconds) if 0 <= milliseconds <= MAX_AMOUNT else 0


def _count(value: Any) -> int | None:
    """A non-negative integer. The Common Log Format writes ``-`` for 0."""
    if value == "-":
        return 0
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return amount(str(value), MAX_AMOUNT) if not isinstance(value, bool) else None


def _domain(target: Any) -> str:
    text = str(target or "").encode(errors="replace").decode()
    if address := canonical_ip(text):
        return address
    found = _HOST.fullmatch(text)
    host = (found[1] or found[2]).lower() if found else ""
    return host if len(host) <= MAX_TEXT and host != "-" and "\0" not in host else ""


def _text(value: Any) -> str:
    return str(value).replace("\0", "\ufffd")[:MAX_TEXT].encode(errors="replace").decode()
