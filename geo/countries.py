"""The country of an address: static IPs first, then the operator's database, else ``XX``."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from threading import Lock
from typing import Final

import maxminddb
from django.conf import settings

from fonproxy.addresses import canonical
from fonproxy.countries import UNKNOWN, normalized
from geo import revisions, static_ips
from geo.models import Revision

MAX_CACHED_ADDRESSES: Final = 200_000
# Both relational stores accept this many bound values in a statement.
CHUNK: Final = 5000

Version = tuple[int, tuple[int, int, int] | None]

log = logging.getLogger(__name__)


class CountryLookup:
    """One per process. Its cache is valid until a static IP or the database file changes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._version: Version | None = None
        self._remembered: OrderedDict[str, str] = OrderedDict()
        self._database: maxminddb.Reader | None = None
        self._file: tuple[int, int, int] | None = None

    def of(self, addresses: Collection[str]) -> dict[str, str]:
        """The country of each address; ``XX`` for empty and unknown ones."""
        wanted = set(addresses) - {""}
        if not wanted:
            return dict.fromkeys(addresses, UNKNOWN)
        # The version is read before the rows, so that cached rows are never older than their version.
        version = revisions.current(Revision.Subject.STATIC_IPS), _identity(settings.GEOIP_DATABASE)
        with self._lock:
            if version != self._version or not revisions.may_be_remembered():
                self._remembered.clear()
                self._version = version
            found = {address: self._remembered[address] for address in wanted if address in self._remembered}
        if missing := wanted - found.keys():
            looked_up = self._look_up(missing, version[1])
            self._remember(looked_up, version)
            found |= looked_up
        return {**found, **({"": UNKNOWN} if "" in addresses else {})}

    def _remember(self, looked_up: dict[str, str], version: Version) -> None:
        with self._lock:
            if version != self._version or not revisions.may_be_remembered():
                return  # another thread has already seen a change
            self._remembered.update(looked_up)
            while len(self._remembered) > MAX_CACHED_ADDRESSES:
                self._remembered.popitem(last=False)

    def _look_up(self, addresses: set[str], file: tuple[int, int, int] | None) -> dict[str, str]:
        spelled = {address: canonical(address) for address in addresses}
        own: dict[str, str] = {}
        for chunk in _chunks(set(spelled.values())):
            own |= static_ips.countries(chunk)
        database = self._open(file)
        return {address: own.get(text) or _country_in(database, text) for address, text in spelled.items()}

    def _open(self, file: tuple[int, int, int] | None) -> maxminddb.Reader | None:
        """The current database of the operator. An old one is not closed: another thread may be reading it."""
        with self._lock:
            if file != self._file:
                self._file = file
                self._database = _opened(str(settings.GEOIP_DATABASE)) if file else None
            return self._database


def _identity(path: str | None) -> tuple[int, int, int] | None:
    """A value that changes when the file is replaced; None without a file."""
    try:
        stat = os.stat(path or "")
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


def _opened(path: str) -> maxminddb.Reader | None:
    try:
        # Read into memory: a mapped file that is overwritten in place would crash the process.
        return maxminddb.open_database(path, maxminddb.MODE_MEMORY)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        log.error("country database cannot be read and is not used: %s", error)
        return None


def _country_in(database: maxminddb.Reader | None, address: str) -> str:
    if database is None:
        return UNKNOWN
    try:
        record = database.get(address)
    except (ValueError, maxminddb.InvalidDatabaseError):
        return UNKNOWN  # an IPv6 address in a database of IPv4, or a damaged record
    for kind in ("country", "registered_country"):
        place = record.get(kind) if isinstance(record, dict) else None
        code = place.get("iso_code") if isinstance(place, dict) else None
        if isinstance(code, str) and (country := normalized(code)) != UNKNOWN:
            return country
    return UNKNOWN


def _chunks(addresses: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(addresses)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


_countries: Final = CountryLookup()
countries_of = _countries.of
