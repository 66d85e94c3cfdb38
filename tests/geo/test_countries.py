"""The country of an address, available to every caller from the next lookup on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped]
from rest_framework.test import APIClient

from accounts.models import User
from fonproxy.clickhouse.client import Client
from geo import checks, countries, static_ips
from geo.countries import CountryLookup
from geo.models import StaticIp
from orders.models import Order
from tests.analytics.helpers import documented_row, push


@pytest.fixture
def lookup(transactional_db: None) -> CountryLookup:
    """With real commits, because nothing is cached within a transaction."""
    return CountryLookup()


def write(path: Path, **networks: dict[str, Any]) -> None:
    writer = MMDBWriter(6, "Test", languages=["en"], ipv4_compatible=True)
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), record)
    draft = path.with_suffix(".new")
    writer.to_db_file(str(draft))
    draft.replace(path)


def country(code: Any) -> dict[str, Any]:
    return {"country": {"iso_code": code}}


@pytest.fixture
def database(tmp_path: Path, settings: Any) -> Path:
    path = tmp_path / "country.mmdb"
    write(
        path,
        **{
            "1.0.0.0/8": country("FR"),
            "2.0.0.0/8": {"registered_country": {"iso_code": "IT"}},
            "3.0.0.0/8": country("Germany"),
            "4.0.0.0/8": country(7),
            "5.0.0.0/8": {"country": "DE"},
            "2001:db8::/32": country("JP"),
            "6.0.0.0/8": country("UK"),
        },
    )
    settings.GEOIP_DATABASE = str(path)
    return path


def add(address: str, **fields: Any) -> StaticIp:
    static_ip = StaticIp(address=address, proxy_type="server-static", **fields)
    static_ips.save(static_ip)
    return static_ip


def test_static_ips_take_precedence_over_the_database_and_others_are_unknown(
    lookup: CountryLookup, database: Path
) -> None:
    add("1.1.1.1", geoip_country="DE", maxmind_country="US")
    add("1.1.1.2", maxmind_country="US")
    add("1.1.1.3")
    asked = ["1.1.1.1", "1.1.1.2", "1.1.1.3", "::ffff:1.1.1.1", "2.0.0.1", "2001:DB8::1", "9.9.9.9", ""]
    assert lookup.of(asked) == {
        "1.1.1.1": "DE", "1.1.1.2": "US", "1.1.1.3": "FR", "::ffff:1.1.1.1": "DE", "2.0.0.1": "IT",
        "2001:DB8::1": "JP", "9.9.9.9": "XX", "": "XX",
    }  # fmt: skip


def test_the_database_may_call_the_united_kingdom_uk(lookup: CountryLookup, database: Path) -> None:
    assert lookup.of(["6.0.0.1"]) == {"6.0.0.1": "GB"}


@pytest.mark.parametrize("address", ["3.0.0.1", "4.0.0.1", "5.0.0.1"])
def test_an_address_without_a_valid_country_is_unknown(lookup: CountryLookup, database: Path, address: str) -> None:
    assert lookup.of([address]) == {address: "XX"}


def test_a_cached_lookup_costs_one_small_query(lookup: CountryLookup, django_assert_num_queries: Any) -> None:
    add("1.1.1.1", geoip_country="DE")
    lookup.of(["1.1.1.1", "9.9.9.9"])
    with django_assert_num_queries(1):
        lookup.of(["1.1.1.1", "9.9.9.9"])
    with django_assert_num_queries(0):
        lookup.of(["", ""])


def test_a_changed_static_ip_is_used_at_once(lookup: CountryLookup) -> None:
    static_ip = add("1.1.1.1", geoip_country="DE")
    assert lookup.of(["1.1.1.1"]) == {"1.1.1.1": "DE"}
    static_ip.geoip_country = "FR"
    static_ips.save(static_ip)
    assert lookup.of(["1.1.1.1"]) == {"1.1.1.1": "FR"}
    row = {
        "proxy_type": "server-static",
        "pool": "p",
        "geoip_country": "IT",
        "maxmind_country": "",
        "is_available": True,
    }
    static_ips.upsert({"1.1.1.1": row}, timezone.now())
    assert lookup.of(["1.1.1.1"]) == {"1.1.1.1": "IT"}
    static_ips.delete(StaticIp.objects.all())
    assert lookup.of(["1.1.1.1"]) == {"1.1.1.1": "XX"}


def test_a_replaced_broken_or_missing_database_is_detected(lookup: CountryLookup, database: Path) -> None:
    assert lookup.of(["1.0.0.1"]) == {"1.0.0.1": "FR"}
    write(database, **{"1.0.0.0/8": country("ES")})
    assert lookup.of(["1.0.0.1"]) == {"1.0.0.1": "ES"}
    database.write_bytes(b"no database")
    assert lookup.of(["1.0.0.1"]) == {"1.0.0.1": "XX"}
    os.unlink(database)
    assert lookup.of(["1.0.0.1"]) == {"1.0.0.1": "XX"}
    assert [warning.id for warning in checks.country_database_exists()] == ["geo.W001"]
    write(database, **{"1.0.0.0/8": country("PT")})
    assert lookup.of(["1.0.0.1"]) == {"1.0.0.1": "PT"}
    assert checks.country_database_exists() == []


def test_the_cache_of_lookups_is_bounded(lookup: CountryLookup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(countries, "MAX_CACHED_ADDRESSES", 10)
    asked = [f"9.9.9.{n}" for n in range(100)]
    assert lookup.of(asked) == dict.fromkeys(asked, "XX")
    assert len(lookup._remembered) == 10


def test_rows_without_a_country_get_that_of_their_exit_address(
    clean_engine: Client,
    client_for: Callable[..., APIClient],
    worker: User,
    alice: User,
    make_order: Callable[..., Order],
) -> None:
    order = make_order(alice)
    client = client_for(worker, "ingest")
    static_ip = add("185.199.100.10", geoip_country="DE")

    def pushed(**changes: Any) -> None:
        assert push(client, [documented_row(user_id=alice.pk, order_id=order.pk, **changes)]).status_code == 204

    pushed(count=1)
    pushed(count=2, country="fr")
    pushed(count=4, ip_out="")
    static_ip.geoip_country = "IT"
    static_ips.save(static_ip)
    pushed(count=8)
    pushed(count=16, country="uk")
    pushed(count=32, country="GB")
    for code in ("AA", "zz", "QM"):
        pushed(count=64, country=code)
    pushed(count=512, country="xk")
    assert dict(clean_engine.fetch("SELECT country, sum(count) FROM order_traffic GROUP BY country", tag="tests")) == {
        "DE": 1, "FR": 2, "XX": 4 + 3 * 64, "IT": 8, "GB": 16 + 32, "XK": 512
    }  # fmt: skip
