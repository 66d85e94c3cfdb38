"""``CLICKHOUSE_URL`` is parsed exactly, or refused without being repeated."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from fonproxy.clickhouse.address import Address, cluster_name


def test_an_address_with_every_part_is_parsed() -> None:
    assert Address.parse("clickhouses://me:p%40ss@one:1234,[2001:db8::1],three/usage_2") == Address(
        (("one", 1234), ("2001:db8::1", 9440), ("three", 9440)), "me", "p@ss", "usage_2", True
    )


def test_missing_parts_of_the_address_have_defaults() -> None:
    assert Address.parse("clickhouse://db") == Address((("db", 9000),), "default", "", "fonproxy", False)
    assert Address.parse("clickhouse://db/") == Address.parse("clickhouse://db")


@pytest.mark.parametrize(
    "url",
    [
        "http://db:8123", "clickhouse://", "clickhouse://me:hunter2@", "clickhouse://db:port", "clickhouse://db,",
        "clickhouse://me:hunter2@db/a-b", "clickhouse://db/a/b", "clickhouse://db?secure=1", "db:9000",
    ],
)  # fmt: skip
def test_any_other_address_is_refused_without_echoing_it(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="CLICKHOUSE_URL must be like clickhouse://") as refusal:
        Address.parse(url)
    assert "hunter2" not in str(refusal.value)


def test_a_password_is_not_shown() -> None:
    assert "hunter2" not in repr(Address.parse("clickhouse://me:hunter2@db"))


def test_a_cluster_name_needs_an_address() -> None:
    servers = Address.parse("clickhouse://one,two")
    assert cluster_name("proxy-usage_2", servers) == "proxy-usage_2"
    assert cluster_name(None, None) is None
    with pytest.raises(ImproperlyConfigured, match="CLICKHOUSE_CLUSTER must be a name"):
        cluster_name("it's", servers)
    with pytest.raises(ImproperlyConfigured, match="CLICKHOUSE_CLUSTER needs CLICKHOUSE_URL"):
        cluster_name("usage", None)
