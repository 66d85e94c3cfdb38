"""Multipliers that start and end, previews of a change, and undoing it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import User
from geo import multiplier_changes, services
from geo.models import Multiplier, MultiplierChange
from geo.multiplier_changes import MultiplierRefused
from geo.multipliers import Terms, in_force, unchanged_around
from tests.geo.helpers import loaded

PAGE = "/admin/geo/multiplier/"
FRIDAY = datetime(2031, 11, 28, tzinfo=UTC)
MONDAY = FRIDAY + timedelta(days=3)
MOMENT = timedelta(microseconds=1)
RAW = 1_200_000


@pytest.fixture
def admin(db: None) -> Client:
    loaded()
    client = Client()
    client.force_login(User.objects.create_superuser("root", "root@example.com", "x"))
    return client


def multiplier(
    factor: str, starts_at: datetime | None = None, ends_at: datetime | None = None, country: str = "US"
) -> Multiplier:
    return Multiplier(
        proxy_type="residential-giga", country=country, factor=Decimal(factor), starts_at=starts_at, ends_at=ends_at
    )


def saved(*given: Any, **more: Any) -> Multiplier:
    found = multiplier(*given, **more)
    multiplier_changes.save(found, None, timezone.now())
    return found


def us(at: datetime) -> int:
    return services.public_counts(at)["residential-giga"]["default"]["provider-api"]["US"]


def form(
    factor: str, starts_at: datetime | None = None, ends_at: datetime | None = None, **more: str
) -> dict[str, str]:
    times = {"starts_at": starts_at, "ends_at": ends_at}
    given = {"proxy_type": "residential-giga", "pool": "default", "country": "US", "factor": factor}
    for name, at in times.items():
        given |= {f"{name}_0": f"{at:%Y-%m-%d}" if at else "", f"{name}_1": f"{at:%H:%M:%S}" if at else ""}
    return given | more


def terms(
    factor: int, starts_at: datetime | None = None, ends_at: datetime | None = None, country: str = "US"
) -> Terms:
    return Terms("t", "p", country, Decimal(factor), starts_at, ends_at)


def test_a_multiplier_applies_from_its_start_until_before_its_end() -> None:
    friday = terms(3, FRIDAY, MONDAY)
    for at, applies in (
        (FRIDAY - MOMENT, False), (FRIDAY, True), (MONDAY - MOMENT, True), (MONDAY, False),
    ):  # fmt: skip
        assert (("t", "p", "US") in in_force([friday], at)) is applies


@pytest.mark.parametrize("order", [1, -1])
def test_a_timed_multiplier_replaces_the_permanent_one_while_it_applies(order: int) -> None:
    both = [terms(4), terms(3, FRIDAY, MONDAY)][::order]
    assert in_force(both, FRIDAY - MOMENT) == in_force(both, MONDAY) == {("t", "p", "US"): 4}
    assert in_force(both, FRIDAY) == {("t", "p", "US"): 3}


def test_counts_are_remembered_until_the_next_start_or_end() -> None:
    both = [terms(2), terms(3, FRIDAY, MONDAY), terms(4, MONDAY, None)]
    assert unchanged_around(both, FRIDAY - MOMENT) == (None, FRIDAY)
    assert unchanged_around(both, FRIDAY) == (FRIDAY, MONDAY)
    assert unchanged_around(both, MONDAY) == (MONDAY, None)


@pytest.mark.parametrize(
    ("one", "other", "excluded"),
    [
        (terms(1), terms(2), True),
        (terms(1), terms(2, country="DE"), False),
        (terms(1), terms(2, FRIDAY), False),
        (terms(1, None, FRIDAY), terms(2, FRIDAY, None), False),
        (terms(1, None, FRIDAY + MOMENT), terms(2, FRIDAY, None), True),
        (terms(1, FRIDAY), terms(2, MONDAY), True),
        (terms(1, FRIDAY, MONDAY), terms(2, MONDAY, None), False),
        (terms(1, FRIDAY, MONDAY), terms(2, FRIDAY + MOMENT, MONDAY - MOMENT), True),
        (terms(1, None, FRIDAY), terms(2, None, FRIDAY - MOMENT), True),
    ],
)
def test_two_multipliers_of_a_country_conflict_if_both_would_apply(one: Terms, other: Terms, excluded: bool) -> None:
    assert one.excludes(other) is other.excludes(one) is excluded


def test_the_public_count_changes_at_the_start_and_at_the_end_without_a_save(admin: Client) -> None:
    saved("1.5")
    saved("3", FRIDAY, MONDAY)
    assert us(FRIDAY - MOMENT) == us(MONDAY) == RAW * 3 // 2
    assert us(FRIDAY) == us(MONDAY - MOMENT) == 3 * RAW


@pytest.mark.django_db(transaction=True)
def test_a_cached_answer_is_invalidated_when_a_multiplier_starts() -> None:
    loaded()
    saved("3", FRIDAY, MONDAY)
    client = Client()

    def asked(at: datetime, etag: str = "") -> Any:
        with time_machine.travel(at, tick=False):
            return client.get("/geo/counts", headers={"If-None-Match": etag} if etag else {})

    before = asked(FRIDAY - MOMENT)
    assert asked(FRIDAY - MOMENT, before.headers["ETag"]).status_code == 304
    after = asked(FRIDAY, before.headers["ETag"])
    assert (after.status_code, after.json()["counts"]["residential-giga"]["default"]["provider-api"]["US"]) == (
        200, 3 * RAW,
    )  # fmt: skip
    assert asked(MONDAY, before.headers["ETag"]).status_code == 304


def test_overlapping_times_are_refused_with_a_message(admin: Client) -> None:
    saved("3", FRIDAY, MONDAY)
    page = admin.post(f"{PAGE}add/", form("2", MONDAY - timedelta(hours=1), None)).content.decode()
    assert "The time overlaps that of residential-giga default US x 3 from 2031-11-28 00:00 until 2031-12-01" in page
    page = admin.post(f"{PAGE}add/", form("2", MONDAY, FRIDAY)).content.decode()
    assert "The end must be after the start." in page
    saved("1")
    page = admin.post(f"{PAGE}add/", form("2")).content.decode()
    assert "has no start or end either" in page
    assert Multiplier.objects.count() == 2


def test_a_new_multiplier_is_previewed_at_its_start_and_then_saved(admin: Client) -> None:
    saved("1.5")
    given = form("3", FRIDAY, MONDAY)
    page = admin.post(f"{PAGE}add/", given).content.decode()
    assert "Public counts change on 2031-11-28 00:00 UTC." in page
    assert "At 2031-12-01 00:00 UTC they return to what they would be without this change." in page
    for shown in ("1,200,000", "1,800,000", "3,600,000"):
        assert f"<td>{shown}</td>" in page or f"<strong>{shown}</strong>" in page
    assert Multiplier.objects.count() == 1
    page = admin.post(f"{PAGE}add/", given | {"confirmed": "yes"}, follow=True).content.decode()
    assert "planned" in page
    assert Multiplier.objects.filter(starts_at=FRIDAY, ends_at=MONDAY, factor=3).exists()
    assert us(timezone.now()) == RAW * 3 // 2


def test_a_form_that_changes_nothing_and_an_unknown_row_are_answered_as_usual(admin: Client) -> None:
    kept = saved("1.5")
    assert admin.post(f"{PAGE}{kept.pk}/change/", form("1.5000")).status_code == 302
    assert admin.post(f"{PAGE}99999/change/", form("1")).status_code == 302
    assert MultiplierChange.objects.count() == 1


def test_the_list_marks_multipliers_in_force(admin: Client) -> None:
    now = timezone.now()
    day = timedelta(days=1)
    saved("1")
    saved("2", now - day, now + day)
    saved("3", now + day, None)
    saved("4", now - 3 * day, now - 2 * day)
    page = admin.get(PAGE).content.decode()
    states = ("replaced by one with times", "in force", "planned", "over")
    assert all(page.count(f'field-when">{state}<') == 1 for state in states)
    assert admin.get(f"{PAGE}?q=residential-giga").content.decode().count('field-when">') == 4
    assert "Nothing matches." in admin.get(f"{PAGE}?q=mobile-giga").content.decode()


def undo(admin: Client, change: MultiplierChange) -> str:
    answer = admin.post(f"/admin/geo/multiplierchange/{change.pk}/undo/", follow=True)
    return answer.content.decode()


def last() -> MultiplierChange:
    return MultiplierChange.objects.latest("pk")


def test_adding_changing_and_deleting_are_undone_and_undoing_too(admin: Client) -> None:
    kept = saved("1.5")
    now = timezone.now()
    added = last()
    kept.factor = Decimal(2)
    multiplier_changes.save(kept, None, now)
    changed = last()
    assert "is undone" in undo(admin, changed)
    assert us(now) == RAW * 3 // 2
    assert "is undone" in undo(admin, last())
    assert us(now) == RAW * 2
    multiplier_changes.delete([kept], None, now)
    assert us(now) == RAW
    assert "is undone" in undo(admin, last())
    assert us(now) == RAW * 2
    assert Multiplier.objects.get().pk == kept.pk
    assert "has been changed since" in undo(admin, added)
    assert "already been undone" in undo(admin, changed)
    assert us(now) == RAW * 2


def test_a_change_cannot_be_undone_when_the_earlier_times_now_overlap(admin: Client) -> None:
    old = saved("3", FRIDAY, MONDAY)
    old.ends_at = FRIDAY + timedelta(hours=1)
    multiplier_changes.save(old, None, timezone.now())
    shortened = last()
    saved("4", FRIDAY + timedelta(hours=1), MONDAY)
    assert "The time overlaps" in undo(admin, shortened)
    assert us(FRIDAY + timedelta(hours=1)) == 4 * RAW


def test_undo_shows_its_effect_first_and_is_offered_after_each_save(admin: Client) -> None:
    page = admin.post(f"{PAGE}add/", form("2", confirmed="yes"), follow=True).content.decode()
    address = f"/admin/geo/multiplierchange/{last().pk}/undo/"
    assert f'<a href="{address}">undo</a>' in page
    page = admin.get(address).content.decode()
    assert "<td>2,400,000</td><td><strong>1,200,000</strong></td>" in page
    assert us(timezone.now()) == 2 * RAW
    assert "Undo</a>" in admin.get("/admin/geo/multiplierchange/").content.decode()


def test_undoing_needs_the_permission_to_change_multipliers(viewer: User, db: None) -> None:
    saved("2")
    client = Client()
    client.force_login(viewer)
    address = f"/admin/geo/multiplierchange/{last().pk}/undo/"
    assert [client.get(address).status_code, client.post(address).status_code] == [403, 403]


@pytest.mark.parametrize("needed", ["add", "delete"])
def test_undo_needs_the_permission_for_the_change_it_makes(viewer: User, needed: str) -> None:
    kept = saved("2")
    if needed == "add":
        multiplier_changes.delete([kept], None, timezone.now())
    permissions = Permission.objects.filter(content_type__app_label="geo", content_type__model="multiplier")
    viewer.user_permissions.add(*permissions.exclude(codename=f"{needed}_multiplier"))
    client = Client()
    client.force_login(viewer)
    address = f"/admin/geo/multiplierchange/{last().pk}/undo/"
    before = Multiplier.objects.count()
    assert [client.get(address).status_code, client.post(address).status_code] == [403, 403]
    changes = "/admin/geo/multiplierchange/"
    assert address not in client.get(changes).content.decode()
    assert Multiplier.objects.count() == before
    viewer.user_permissions.set(
        [*Permission.objects.filter(codename="view_multiplierchange"), permissions.get(codename=f"{needed}_multiplier")]
    )
    assert address in client.get(changes).content.decode()
    assert client.post(address).status_code == 302
    assert Multiplier.objects.count() == 1 - before


def test_a_second_permanent_multiplier_is_refused_with_one_message(admin: Client) -> None:
    saved("1.5")
    page = admin.post(f"{PAGE}add/", form("2")).content.decode()
    assert page.count("has no start or end either") == 1
    assert "multiplier_once" not in page
    assert Multiplier.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_first", [True, False])
def test_of_two_concurrent_conflicting_multipliers_one_is_saved(is_first: bool) -> None:
    if not is_first:
        saved("1", country="DE")
    ready = threading.Barrier(2)
    results: list[str] = []

    def add(factor: str) -> None:
        ready.wait()
        try:
            multiplier_changes.save(multiplier(factor, FRIDAY, MONDAY), None, timezone.now())
            results.append("saved")
        except MultiplierRefused:
            results.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=add, args=(factor,)) for factor in ("2", "3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["refused", "saved"]
    assert Multiplier.objects.filter(country="US").count() == 1


@pytest.fixture
def dies_at_the_record() -> Iterator[None]:
    """The process dies, in effect, after the multiplier is written and before its record is."""
    kept = multiplier_changes._record

    def die(*_: Any, **__: Any) -> MultiplierChange:
        raise SystemExit

    multiplier_changes._record = die
    yield
    multiplier_changes._record = kept


@pytest.mark.django_db(transaction=True)
def test_a_change_that_dies_before_its_record_leaves_nothing(dies_at_the_record: None) -> None:
    kept = multiplier("1", country="DE")
    kept.save()
    for change in (lambda: saved("2"), lambda: multiplier_changes.delete([kept], None, timezone.now())):
        with pytest.raises(SystemExit):
            change()
        assert [each.country for each in Multiplier.objects.all()] == ["DE"]
