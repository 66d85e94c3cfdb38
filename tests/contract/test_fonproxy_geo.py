"""The published FonProxy Geo API, as documented."""

from __future__ import annotations

from codecs import BOM_UTF8
from decimal import Decimal
from typing import Any

import pytest
from rest_framework.test import APIClient

from geo.loaders.provider import DummyProvider
from geo.models import Multiplier
from tests.geo.helpers import addresses, loaded, save_multiplier

WITH_SERVICES = {
    "residential-giga": {"default": {"provider-api": {"US": 1200000, "GB": 350000, "DE": 420000}}},
    "server-static": {"default": {"geoip": {"US": 150, "DE": 80}, "maxmind": {"US": 148, "DE": 79}}},
}
WITHOUT_SERVICES = {
    "residential-giga": {"default": {"US": 1200000, "GB": 350000, "DE": 420000}},
    "server-static": {"default": {"US": 150, "DE": 80}},
}
COUNTRIES = ["AE", "AR", "AU", "BR", "CA", "DE", "FR", "GB", "IN", "JP", "US"]


@pytest.fixture
def published(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data behind the document's example."""
    monkeypatch.setattr(DummyProvider, "COUNTRIES", {"US": 1200000, "GB": 350000, "DE": 420000})
    for count, geoip, maxmind in ((148, "US", "US"), (2, "US", ""), (79, "DE", "DE"), (1, "DE", "")):
        addresses(count, proxy_type="server-static", geoip_country=geoip, maxmind_country=maxmind)
    addresses(30, proxy_type="server-static", geoip_country="US", maxmind_country="US", is_available=False)
    loaded()


def get(path: str, **params: Any) -> Any:
    answer = APIClient().get(path, params)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_counts_with_services(published: None) -> None:
    assert get("/geo/counts") == {"counts": WITH_SERVICES}


@pytest.mark.parametrize("value", ["true", "True", "1"])
def test_counts_without_services(published: None, value: str) -> None:
    assert get("/geo/counts", noservice=value) == {"counts": WITHOUT_SERVICES}


def test_counts_of_one_type_or_pool(published: None) -> None:
    assert get("/geo/counts", type="server-static") == {"counts": {"server-static": WITH_SERVICES["server-static"]}}
    assert get("/geo/counts", pool="default", noservice="false") == {"counts": WITH_SERVICES}
    assert get("/geo/counts", type="", pool="") == {"counts": WITH_SERVICES}
    assert get("/geo/counts", type="all", pool="all") == {"counts": WITH_SERVICES}
    assert get("/geo/counts", type="nothing") == get("/geo/counts", pool="nothing") == {"counts": {}}
    assert get("/geo/counts", type="mobile-giga") == {"counts": {}}


def test_a_type_that_only_another_service_knows_is_left_out_without_services(db: None) -> None:
    addresses(2, proxy_type="shared-proxy", maxmind_country="US")
    loaded()
    assert get("/geo/counts", type="shared-proxy", noservice="true") == {"counts": {}}
    assert get("/geo/countries", type="shared-proxy") == {"countries": []}


def test_countries(db: None) -> None:
    loaded()
    assert get("/geo/countries", type="residential-giga") == {"countries": COUNTRIES}
    assert get("/geo/countries", type="residential-giga", pool="other") == {"countries": []}
    assert get("/geo/countries", type="nothing") == {"countries": []}


def test_countries_are_listed_for_the_default_service_with_a_public_count_above_zero(published: None) -> None:
    save_multiplier(Multiplier(proxy_type="server-static", country="DE", factor=Decimal("0.001")))
    assert get("/geo/countries", type="server-static") == {"countries": ["US"]}


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/geo/countries", "type"),
        ("/geo/countries?type=", "type"),
        ("/geo/countries?type=a&type=b", "type"),
        ("/geo/counts?noservice=maybe", "noservice"),
        ("/geo/counts?pool=a&pool=b", "pool"),
        ("/geo/counts?format=xml", "format"),
    ],
)
def test_malformed_parameters_are_named(db: None, path: str, field: str) -> None:
    answer = APIClient().get(path)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_counts_and_countries_come_as_csv(published: None) -> None:
    answer = APIClient().get("/geo/counts?format=csv&type=server-static")
    assert answer.content.decode("utf-8-sig").splitlines() == [
        "type,pool,service,country,count",
        "server-static,default,geoip,DE,80",
        "server-static,default,geoip,US,150",
        "server-static,default,maxmind,DE,79",
        "server-static,default,maxmind,US,148",
    ]
    countries = APIClient().get("/geo/countries?type=server-static", headers={"Accept": "text/csv"})
    assert countries.content.decode().split() == ["country", "DE", "US"]


def test_csv_is_a_named_file_with_a_byte_order_mark_only_for_downloads(published: None) -> None:
    client = APIClient()
    for path, name in (("/geo/counts", "geo-counts.csv"), ("/geo/countries", "geo-countries.csv")):
        query = {"type": "server-static"}
        for _ in range(2):  # the second answers come from memory
            download = client.get(path, query | {"format": "csv"})
            program = client.get(path, query, headers={"Accept": "text/csv"})
            assert download.content == BOM_UTF8 + program.content
            assert not program.content.startswith(BOM_UTF8)
            for answer in (download, program):
                assert answer["Content-Disposition"] == f'attachment; filename="{name}"'
        assert "Content-Disposition" not in client.get(path, query)
