"""Decides whether a login may pass: asks FonProxy, or uses the local copy of the logins if it is unreachable."""

from __future__ import annotations

import hashlib
import logging
import secrets
import sqlite3
import threading
import time
from collections import OrderedDict
from ipaddress import ip_address, ip_network
from typing import Final, NamedTuple

import msgspec

from fonproxy_agent import passwords
from fonproxy_agent.client import AgentClient, Throttled, Unreachable
from fonproxy_agent.config import SignInConfig
from fonproxy_agent.errors import Stop
from fonproxy_agent.logins import KnownLogin, LoginStore

log_messages = logging.getLogger(__name__)

PATH: Final = "/gateway/authorize"
# Squid's clients wait for the helpers.
ANSWER_SECONDS: Final = 3.0
SYNC_SECONDS: Final = 5.0
# How long a refusal, or a decision without FonProxy, is cached.
SHORT_SECONDS: Final = 2.0
MAX_CACHE_SECONDS: Final = 60.0
# How long FonProxy is not called after it did not answer.
REST_SECONDS: Final = 5.0


class Decision(NamedTuple):
    """``reason`` is FonProxy's code for a refusal."""

    is_allowed: bool
    reason: str = ""


class AuthorizeAnswer(msgspec.Struct, frozen=True, rename="camel"):
    allowed: bool
    reason: str = ""
    cache_seconds: float = 0.0


class Authorizer:
    """Decides for several threads."""

    def __init__(self, config: SignInConfig, client: AgentClient, store: LoginStore, worker: str) -> None:
        self._config = config
        self._client = client
        self._store = store
        self._worker = worker
        self._secret = secrets.token_bytes(32)
        self._cache: OrderedDict[bytes, tuple[float, Decision]] = OrderedDict()
        self._lock = threading.Lock()
        self._rest_until = float("-inf")

    def keep_in_sync(self) -> None:
        """Keeps the copy of the logins up to date; does not return."""
        while True:
            try:
                self._store.sync(self._client, SYNC_SECONDS)
            except (Unreachable, Stop, sqlite3.Error) as problem:
                log_messages.warning(f"The copy of the logins is not up to date: {problem}.")
            time.sleep(SYNC_SECONDS)

    def decide(self, login: str, password: str | None, client_ip: str) -> Decision:
        """``password`` is None for a login that has signed in already; ``client_ip`` is empty if it is not known."""
        # The key is a digest, so that passwords are not kept, not even in memory.
        text = "\0".join((login, "-" if password is None else f"+{password}", client_ip))
        key = hashlib.blake2b(text.encode(errors="surrogatepass"), key=self._secret).digest()
        with self._lock:
            until, decision = self._cache.get(key, (float("-inf"), Decision(False)))
        if time.monotonic() < until:
            return decision
        decision, seconds = self._fresh(login, password, client_ip)
        with self._lock:
            self._cache[key] = time.monotonic() + seconds, decision
            self._cache.move_to_end(key)
            while len(self._cache) > self._config.cache_size:
                self._cache.popitem(last=False)
        return decision

    def _fresh(self, login: str, password: str | None, client_ip: str) -> tuple[Decision, float]:
        """The decision and the seconds for which it is valid."""
        if time.monotonic() >= self._rest_until:
            try:
                return self._ask(login, password, client_ip)
            except Throttled as problem:
                log_messages.warning(f"Deciding without FonProxy: {problem}.")
            except (Unreachable, Stop) as problem:
                self._rest_until = time.monotonic() + REST_SECONDS
                log_messages.warning(f"Deciding without FonProxy: {problem}.")
        return self._without_fonproxy(login, password, client_ip), SHORT_SECONDS

    def _ask(self, login: str, password: str | None, client_ip: str) -> tuple[Decision, float]:
        body = {"login": login, "worker": self._worker}
        # An empty password is checked too.
        body |= {} if password is None else {"password": password}
        body |= {"clientIp": client_ip} if client_ip else {}
        answer = self._client.post(PATH, body, {200: AuthorizeAnswer, 403: AuthorizeAnswer})
        if answer is None:
            raise Unreachable("the answer is not one of FonProxy's")
        seconds = min(answer.cache_seconds, MAX_CACHE_SECONDS) if answer.allowed else SHORT_SECONDS
        return Decision(answer.allowed, answer.reason), seconds

    def _without_fonproxy(self, login: str, password: str | None, client_ip: str) -> Decision:
        if time.time() - self._store.finished_at() > self._config.offline_seconds:
            return Decision(self._config.offline == "open", "unreachable")
        known = self._store.find(login)
        return decide_locally(known, password, client_ip)


def decide_locally(known: KnownLogin | None, password: str | None, client_ip: str) -> Decision:
    """FonProxy's decision for a login in this state, except for its number of connections."""
    if known is None:
        return Decision(False, "unknown")
    if password is not None and not (known.verifier and passwords.matches(password, known.verifier)):
        return Decision(False, "bad_password")
    if client_ip and known.allowed_ips and not _is_within(client_ip, known.allowed_ips):
        return Decision(False, "ip_not_allowed")
    return Decision(not known.refusal, known.refusal)


def _is_within(client_ip: str, allowed: list[str]) -> bool:
    """Whether the address is one of ``allowed``, which are addresses or networks."""
    address = ip_address(client_ip)
    return any(address in ip_network(network, strict=False) for network in allowed)
