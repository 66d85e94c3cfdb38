"""Caching, other origins, and what staff's systems receive."""

from __future__ import annotations

from codecs import BOM_UTF8
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from fonproxy.api.throttles import PublicThrottle
from geo import multiplier_changes
from geo.models import Multiplier
from tests.geo.helpers import loaded, save_multiplier


@pytest.fixture(autouse=True)
def _loaded(db: None) -> None:
    loaded()


def test_unchanged_counts_are_answered_with_304() -> None:
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
    multiplier_changes.delete([multiplier], None, timezone.now())
    assert client.get("/geo/counts")["ETag"] == first["ETag"]


def us(answer: Any) -> int:
    count: int = answer.json()["counts"]["residential-giga"]["default"]["provider-api"]["US"]
    return count


def test_json_and_csv_have_different_tags() -> None:
    client = Client()
    assert client.get("/geo/counts")["ETag"] != client.get("/geo/counts?format=csv")["ETag"]


def test_raw_counts_ignore_multipliers(client_for: Any, staff: Any) -> None:
    save_multiplier(Multiplier(proxy_type="residential-giga", country="*", factor=Decimal(0)))
    answer = client_for(staff).get("/provisioning/geo-counts")
    assert (us(answer), us(Client().get("/geo/counts"))) == (1_200_000, 0)
    download = client_for(staff).get("/provisioning/geo-counts?format=csv")
    assert "residential-giga,default,provider-api,US,1200000" in download.content.decode().splitlines()
    assert download.content.startswith(BOM_UTF8)
    assert download["Content-Disposition"] == 'attachment; filename="geo-counts.csv"'


def test_a_cached_answer_queries_only_the_revision(transactional_db: None, django_assert_num_queries: Any) -> None:
    client = APIClient()
    client.get("/geo/counts")
    with django_assert_num_queries(1):
        client.get("/geo/counts")


@pytest.mark.parametrize("path", ["/geo/counts", "/geo/countries?type=residential-giga"])
@pytest.mark.parametrize("known", [False, True])
def test_a_cached_answer_equals_the_views_answer(transactional_db: None, path: str, known: bool) -> None:
    client = Client()
    headers = {"If-None-Match": client.get(f"{path}{'&' if '?' in path else '?'}other")["ETag"]} if known else {}
    viewed, remembered = (client.get(path, headers=headers) for _ in range(2))
    assert (remembered.status_code, remembered.content) == (viewed.status_code, viewed.content)
    assert viewed.status_code == (304 if known else 200)
    assert _lasting(remembered) == _lasting(viewed)


def _lasting(answer: Any) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "X-Request-Id"}


def test_only_json_is_cached(transactional_db: None) -> None:
    client = Client()
    remembered = [client.get("/geo/counts") for _ in range(2)][1]
    for accept in ("application/json", "*/*", "application/json, text/plain, */*", "image/png"):
        assert client.get("/geo/counts", headers={"Accept": accept}).content == remembered.content
    assert client.get("/geo/counts", headers={"Accept": "text/csv"})["Content-Type"].startswith("text/csv")
    assert client.get("/geo/counts?format=image").status_code == 400
    assert client.post("/geo/counts").status_code == 405
    assert (client.head("/geo/counts").status_code, client.head("/geo/counts").content) == (200, b"")


def test_a_cached_answer_counts_as_a_call(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PublicThrottle, "THROTTLE_RATES", {"public": "3/hour"})
    client = Client()
    answers = [client.get("/geo/counts") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].json()["message"] == "request.throttled"
    assert int(answers[-1]["Retry-After"]) > 0


def test_values_of_a_rolled_back_transaction_are_not_cached(transactional_db: None) -> None:
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
