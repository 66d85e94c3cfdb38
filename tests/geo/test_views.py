"""Caching, other origins, and what staff's systems are told."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from rest_framework.test import APIClient

from geo.models import Multiplier
from geo.services import delete_multipliers, save_multiplier
from tests.geo.helpers import loaded


@pytest.fixture(autouse=True)
def _loaded(db: None) -> None:
    loaded()


def test_whoever_has_the_counts_is_told_so_until_they_change() -> None:
    client = Client()
    first = client.get("/geo/counts")
    assert (first.status_code, first["Cache-Control"]) == (200, "public, no-cache")
    assert "Accept" in first["Vary"]
    for known in (first["ETag"], f'"other", {first["ETag"]}', f"W/{first['ETag']}", "*"):
        again = client.get("/geo/counts", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert client.get("/geo/counts", headers={"If-None-Match": '"other"'}).status_code == 200
    save_multiplier(multiplier := Multiplier(proxy_type="residential-giga", country="US", factor=Decimal(2)))
    changed = client.get("/geo/counts", headers={"If-None-Match": first["ETag"]})
    assert (changed.status_code, us(changed)) == (200, 2_400_000)
    delete_multipliers(multiplier)
    assert client.get("/geo/counts")["ETag"] == first["ETag"]


def us(answer: Any) -> int:
    count: int = answer.json()["counts"]["residential-giga"]["default"]["provider-api"]["US"]
    return count


def test_json_and_csv_are_told_apart_by_their_tags() -> None:
    client = Client()
    assert client.get("/geo/counts")["ETag"] != client.get("/geo/counts?format=csv")["ETag"]


def test_any_web_page_may_ask() -> None:
    client = Client()
    answer = client.get("/geo/counts", headers={"Origin": "https://elsewhere.example"})
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer
    preflight = client.options(
        "/geo/countries", headers={"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "GET"}
    )
    assert (preflight.status_code, preflight["Access-Control-Allow-Origin"]) == (200, "*")
    assert "if-none-match" in preflight["Access-Control-Allow-Headers"]
    other = client.get("/orders", headers={"Origin": "https://elsewhere.example"})
    assert "Access-Control-Allow-Origin" not in other


def test_raw_counts_know_no_multiplier(client_for: Any, staff: Any) -> None:
    save_multiplier(Multiplier(proxy_type="residential-giga", country="*", factor=Decimal(0)))
    answer = client_for(staff).get("/provisioning/geo-counts")
    assert (us(answer), us(Client().get("/geo/counts"))) == (1_200_000, 0)
    lines = client_for(staff).get("/provisioning/geo-counts?format=csv").content.decode().splitlines()
    assert "residential-giga,default,provider-api,US,1200000" in lines


def test_nothing_is_asked_of_the_database_but_the_revision(
    transactional_db: None, django_assert_num_queries: Any
) -> None:
    client = APIClient()
    client.get("/geo/counts")
    with django_assert_num_queries(1):
        client.get("/geo/counts")


def test_what_a_transaction_saw_and_took_back_is_not_remembered(transactional_db: None) -> None:
    loaded()
    client = Client()
    before = us(client.get("/geo/counts"))
    with suppress(ZeroDivisionError), transaction.atomic():
        save_multiplier(Multiplier(proxy_type="residential-giga", country="US", factor=Decimal(2)))
        assert us(client.get("/geo/counts")) == 2 * before
        raise ZeroDivisionError
    assert us(client.get("/geo/counts")) == before
    save_multiplier(Multiplier(proxy_type="residential-giga", country="US", factor=Decimal(3)))
    assert us(client.get("/geo/counts")) == 3 * before
