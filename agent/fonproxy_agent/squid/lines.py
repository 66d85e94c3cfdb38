"""One line of Squid's access log as a request.

The line is in Squid's default format, with or without one more column: the bytes received from the client
(``logformat`` code ``%>st``). Only the time, the sizes and the login have to be right; nothing that a client or an
origin chooses for the other fields makes a line unreadable or moves its bytes to another login.
"""

from __future__ import annotations

import re
from typing import Final

from fonproxy_agent.request import (
    MAX_AMOUNT,
    MAX_LINE,
    MAX_SECOND,
    MAX_TEXT,
    LineError,
    Request,
    amount,
    canonical_ip,
    login_text,
    text_of,
    without_cut_line,
)

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# The maximum number of words in a login: Squid does not escape spaces in it.
MAX_WORDS: Final = 4

# A syslog daemon may have added a prefix, in RFC 5424 followed by a byte order mark. It must not contain a slash, so
# that a broken line cannot begin in the middle of a URL.
_HEAD: Final = re.compile(
    r"(?:[^/]{0,256}?\s(?:\xef\xbb\xbf)?)??(?P<second>\d{9,12})(?:\.(?P<fraction>\d{1,9}))?\s+(?P<elapsed>-?\d+|-)\s+(?P<client>\S+)\s+"
    r"(?P<result>[^\s/]*)/(?P<status>\S*)\s+(?P<size>-?\d+)\s+(?P<method>\S+)\s+",
    re.ASCII,
)
# `log_mime_hdrs` adds both headers in brackets, with inner brackets escaped. Clients choose their content, so they are
# removed first. The last bracket is missing if the line was cut off.
_HEADERS: Final = re.compile(r"\s\[[^\[\]]*\]\s\[[^\[\]]*\]$")
_CUT_HEADERS: Final = re.compile(r"\s\[[^\[\]]*(?:\]\s\[[^\[\]]*)?$")
# Squid leaves out the parameters of a content type, other writers do not: "text/html; charset=utf-8". None has a slash,
# so they cannot contain another hierarchy code.
_CONTENT_TYPE: Final = r"\S*(?:(?:(?<=;)\s|\s;\s?)[^\s/=]+=[^\s/]*)*"
# The first hierarchy code followed by at most two columns: a URL may contain something like it, and so may the content
# type.
_TAIL: Final = re.compile(
    r"(?P<target>\S++)\s++(?P<logins>.*?\S)\s++(?P<hierarchy>[A-Z][A-Z0-9_]*+)/(?P<peer>\S*)"
    rf"(?:\s{_CONTENT_TYPE}(?:\s(?:(?P<sent>\d+)|-))?)?",
    re.ASCII | re.DOTALL,
)
_HOST: Final = r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]/?#@:\\\x00-\x20\x7f]+))"
_URL: Final = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?{_HOST}(?::\d*)?(?:[/?#].*)?", re.DOTALL)
_AUTHORITY: Final = re.compile(rf"{_HOST}(?::\d*)?")
_ESCAPE: Final = re.compile(rb"\\([\\rn])|%([0-9A-Fa-f]{2})")
_ESCAPED: Final = {b"\\": b"\\", b"r": b"\r", b"n": b"\n"}


def parse(line: bytes) -> Request | LineError:
    """The request of one line, given with its line end; never raises."""
    if not line.endswith(b"\n"):
        return LineError.TRUNCATED
    # One character per byte: most fields need not be valid in any encoding.
    text = line[:MAX_LINE].removeprefix(BYTE_ORDER_MARK).strip(b"\0 \t\r\n").decode("latin-1")
    if not text:
        return LineError.EMPTY
    for part in without_cut_line(text):
        found = _parse(part, is_complete=len(line) <= MAX_LINE)
        if found is not LineError.FORMAT:
            break
    return found


def _parse(text: str, *, is_complete: bool) -> Request | LineError:
    head = _HEAD.match(text)
    if head is None:
        return LineError.FORMAT
    tail = _TAIL.fullmatch((_HEADERS if is_complete else _CUT_HEADERS).sub("", text[head.end() :]))
    return _request(head.groupdict(default="0") | tail.groupdict(default="0")) if tail else LineError.FORMAT


def time_of(line: bytes) -> int | None:
    """When the request of a line ended, in milliseconds since the epoch; None if the line cannot be read."""
    request = parse(line)
    return request.end_ms if isinstance(request, Request) else None


def _request(field: dict[str, str]) -> Request | LineError:
    second = amount(field["second"], MAX_SECOND)
    received, sent = amount(field["size"], MAX_AMOUNT), amount(field["sent"], MAX_AMOUNT)
    if second is None or received is None or sent is None:
        return LineError.NUMBER
    method, words = field["method"], field["logins"]
    logins = _logins(words, may_be_target=method != "CONNECT")
    result, status = field["result"], amount(field["status"], 999) or 0
    failed = _is_failure(result, status, field["hierarchy"], field["peer"])
    is_refused = "DENIED" in result.split("_")
    return Request(
        end_ms=second * 1000 + int(f"{field['fraction']:0<3.3}"),
        # Negative if the clock was set back in between.
        duration_ms=amount(field["elapsed"], MAX_AMOUNT) or 0,
        login=logins[0],
        shorter_logins=logins[1:],
        is_failed_sign_in=_is_failed_sign_in(result, status, field["hierarchy"]),
        domain=domain_of(method, text_of(field["target"].encode("latin-1"))),
        error=f"{result}/{field['status']}"[:MAX_TEXT] if failed else "",
        is_refused=is_refused,
        bytes_sent=0 if is_refused else sent,
        bytes_received=0 if is_refused else received,
        method=method[:MAX_TEXT],
        status=status,
        client=canonical_ip(field["client"]),
    )


def _logins(words: str, *, may_be_target: bool) -> tuple[str, ...]:
    """The possible logins, longest first; one empty login if nobody signed in.

    If both the URL and the login may contain spaces, the line does not show where the URL ends.
    """
    if words == "-" or (may_be_target and words.endswith(" -")):
        return ("",)
    starts = [0]
    if may_be_target:
        starts += [space.end() for space in re.finditer(r"\s+", words)]
    return tuple(_unescape(words[start:]) for start in starts[-MAX_WORDS:])


def _unescape(written: str) -> str:
    """Squid writes a backslash, CR and LF with a backslash, and other unsafe bytes as %XX."""
    raw = _ESCAPE.sub(
        lambda found: _ESCAPED[found[1]] if found[1] else bytes.fromhex(found[2].decode()), written.encode("latin-1")
    )
    return login_text(raw)


def _is_failure(result: str, status: int, hierarchy: str, peer: str) -> bool:
    """Whether the proxy itself failed or refused; an origin's own 4xx or 5xx is its response, not an error."""
    if not {"DENIED", "NONE"}.isdisjoint(result.split("_")):
        return True
    return status >= 500 and ("NONE" in hierarchy.split("_") or peer in ("", "-"))


def _is_failed_sign_in(result: str, status: int, hierarchy: str) -> bool:
    """Whether Squid requested credentials. The login is then only claimed."""
    is_denied = "DENIED" in result.split("_")
    return (status in (401, 407) and is_denied) or (status == 407 and "NONE" in hierarchy.split("_"))


def domain_of(method: str, target: str) -> str:
    """The host of the target in lower case without its port; empty if the target has no host."""
    found = (_AUTHORITY if method == "CONNECT" else _URL).fullmatch(target)
    host = (found["v6"] or found["name"]).lower() if found else ""
    return host if len(host) <= MAX_TEXT else ""
