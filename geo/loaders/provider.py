"""Counts from a provider's API."""

from __future__ import annotations

import http.client
import time
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Final, Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from fonproxy.countries import UNKNOWN, normalized
from fonproxy.deadline import hanging_up_at
from fonproxy.units import MIB
from geo.loaders.base import Counts, LoaderFailed

SERVICE: Final = "provider-api"
DEADLINE_SECONDS: Final = 10.0
SOCKET_SECONDS: Final = 4.0
ATTEMPTS: Final = 3
FIRST_PAUSE: Final = 0.3
MAX_BODY_BYTES: Final = MIB

Pool = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9_-]{0,31}\Z")]
Country = Annotated[str, Meta(pattern=r"\A[A-Z]{2}\Z")]
Count = Annotated[int, Meta(ge=0, le=2**53)]


class _ProviderBody(Struct):
    counts: dict[Pool, dict[Country, Count]]


_decode: Final = msgspec.json.Decoder(_ProviderBody).decode


class CountsProvider(Protocol):
    def counts(self) -> dict[str, dict[str, int]]:
        """pool -> country -> count; raises LoaderFailed."""


class ResidentialGeoCountLoader:
    """The counts of one provider, under the service name ``provider-api``."""

    def __init__(self, provider: CountsProvider) -> None:
        self._provider = provider

    def load(self) -> Counts:
        """See ``Loader.load``."""
        return {pool: {SERVICE: countries} for pool, countries in self._provider.counts().items()}


class DummyProvider:
    """Invented counts, for the demo and for tests."""

    COUNTRIES: Final = {
        "AE": 38_000, "AR": 96_000, "AU": 110_000, "BR": 610_000, "CA": 240_000, "DE": 420_000, "FR": 310_000,
        "GB": 350_000, "IN": 880_000, "JP": 190_000, "US": 1_200_000,
    }  # fmt: skip

    def counts(self) -> dict[str, dict[str, int]]:
        """See ``CountsProvider.counts``."""
        return {"default": dict(self.COUNTRIES)}


class _Broken(Exception):
    """A failed attempt that may be retried."""


class HttpProvider:
    """``GET url`` answers ``{"counts": {pool: {country: count}}}``. Any other response is refused as a whole.

    It uses the standard library's client, because the deadline has to apply to the socket: a provider that sends a byte
    now and then never reaches a timeout of single reads.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self._url = urlsplit(url)
        self._headers = {"Accept": "application/json", "User-Agent": "fonproxy"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def counts(self) -> dict[str, dict[str, int]]:
        """See ``CountsProvider.counts``. Retries after connection and server errors."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        pause = FIRST_PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return _checked(self._ask(deadline))
            except _Broken as broken:
                if attempt == ATTEMPTS or time.monotonic() + pause >= deadline:
                    raise LoaderFailed(str(broken)) from None
            time.sleep(pause)
            pause *= 2
        raise AssertionError("unreachable")

    def _ask(self, deadline: float) -> bytes:
        connection = self._connection()
        try:
            connection.connect()
            with hanging_up_at(deadline, connection.sock):
                connection.request("GET", self._target(), headers=self._headers)
                body = _body(connection.getresponse())
            if time.monotonic() >= deadline:
                raise _Broken("The connection was closed on our side, so the response may be incomplete.")
            return body
        except (OSError, http.client.HTTPException, _Broken) as error:
            if time.monotonic() >= deadline:
                raise LoaderFailed("The provider took too long to answer.") from None
            if isinstance(error, _Broken):
                raise
            raise _Broken(f"The provider cannot be reached: {type(error).__name__}.") from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        kind: Callable[..., http.client.HTTPConnection] = (
            http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        )
        return kind(self._url.hostname, self._url.port, timeout=SOCKET_SECONDS)

    def _target(self) -> str:
        return (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")


def _body(response: http.client.HTTPResponse) -> bytes:
    if response.status >= 500:
        raise _Broken(f"The provider answered {response.status}.")
    if response.status != 200:
        raise LoaderFailed(f"The provider answered {response.status}.")
    body = response.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise LoaderFailed("The provider's answer is larger than 1 MiB.")
    if response.length or not body:
        raise _Broken("The provider's answer is truncated.")
    return body


def _checked(body: bytes) -> dict[str, dict[str, int]]:
    try:
        counts = _decode(body).counts
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise LoaderFailed(f"The provider's answer has another format: {str(fault)[:200]}") from None
    unknown = sorted({code for by_code in counts.values() for code in by_code if normalized(code) == UNKNOWN})
    if unknown:
        raise LoaderFailed(f"The provider's answer has an unknown country: {unknown[0]}.")
    return {pool: _by_country(by_code) for pool, by_code in counts.items()}


def _by_country(by_code: dict[str, int]) -> dict[str, int]:
    """Counts by normalized code: a provider may list one country under two codes."""
    found: Counter[str] = Counter()
    for code, count in by_code.items():
        found[normalized(code)] += count
    return dict(found)
