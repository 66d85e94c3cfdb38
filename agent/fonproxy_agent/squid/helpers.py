"""Squid's helper protocols with concurrency: sign-in (``auth_param basic``) and access (``external_acl_type``).

A line begins with the channel number; values are percent-encoded. The answer is the channel number and OK, ERR or BH.

Squid answers 407 to a client whose sign-in failed, and clients then ask for another password. So sign-in is refused
only because of the password; a login that may not pass for another reason, such as a used-up order, is refused by
access, with 403. That ERR answer has the reason as FonProxy's code (``%{reason}note`` in squid.conf) and as a sentence
(``%o`` in an error page). The answer of sign-in has neither, so that strangers cannot learn which logins exist.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Final
from urllib.parse import unquote_to_bytes

from fonproxy_agent.authorize import Authorizer, Decision
from fonproxy_agent.request import canonical_ip, text_of

# Refusals that do not concern the password.
AFTER_PASSWORD: Final = frozenset(("ip_not_allowed", "exhausted", "expired", "suspended", "too_many_connections"))
SENTENCES: Final = {
    "unknown": "There is no such login.",
    "ip_not_allowed": "This login may not be used from your address.",
    "exhausted": "This login has no traffic left.",
    "expired": "The order of this login has expired.",
    "suspended": "The order of this login is suspended.",
    "too_many_connections": "This login has reached its maximum number of connections.",
    "unreachable": "This login cannot be checked at the moment. Try again later.",
}
OTHER_SENTENCE: Final = "This login may not pass."
WITHOUT_CHANNEL: Final = "BH message=set-concurrency-in-squid.conf"
MALFORMED: Final = "BH message=malformed-request"

Question = Callable[[Authorizer, list[str]], Decision | None]


def sign_in(authorizer: Authorizer, fields: list[str]) -> Decision | None:
    """``login password``, and the client's address with ``key_extras "%>a"``. Allowed if the password is right."""
    if len(fields) < 2:
        return None
    client_ip = canonical_ip(fields[2]) if len(fields) > 2 else ""
    decision = authorizer.decide(fields[0], fields[1], client_ip)
    return Decision(decision.is_allowed or decision.reason in AFTER_PASSWORD)


def access(authorizer: Authorizer, fields: list[str]) -> Decision | None:
    """``login client-address``, from the format ``%LOGIN %SRC``."""
    if len(fields) < 2:
        return None
    if fields[0] in ("", "-"):
        return Decision(False, "unknown")
    return authorizer.decide(fields[0], None, canonical_ip(fields[1]))


def answer_line(line: bytes, question: Question, authorizer: Authorizer) -> str:
    """Answers one line; line and answer have no line end."""
    channel, *encoded = line.split(b" ")
    if not channel.isdigit():
        return WITHOUT_CHANNEL
    decision = question(authorizer, [text_of(unquote_to_bytes(field)) for field in encoded])
    if decision is None:
        return f"{channel.decode()} {MALFORMED}"
    if decision.is_allowed:
        return f"{channel.decode()} OK"
    if not decision.reason:
        return f"{channel.decode()} ERR"
    # The codes are FonProxy's: an unknown one must not be able to break the line.
    word = decision.reason if decision.reason in SENTENCES else "refused"
    return f'{channel.decode()} ERR reason={word} message="{SENTENCES.get(word, OTHER_SENTENCE)}"'


def serve(question: Question, authorizer: Authorizer, workers: int, source: BinaryIO, sink: BinaryIO) -> None:
    """Answers each line as soon as it is decided, until the source ends."""
    lock = threading.Lock()

    def respond(line: bytes) -> None:
        try:
            answer = answer_line(line, question, authorizer)
        except Exception as error:
            channel = line.partition(b" ")[0].decode("latin-1")
            answer = f"{channel} BH message={type(error).__name__}"
        with lock:
            sink.write(answer.encode() + b"\n")
            sink.flush()

    with ThreadPoolExecutor(workers) as pool:
        for line in source:
            pool.submit(respond, line.rstrip(b"\r\n"))
