"""Staff edit multipliers in place, and see the effect of each."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from accounts.models import User
from geo.models import CountSnapshot, Multiplier
from tests.geo.helpers import loaded, public_counts, save_multiplier

PAGE = "/admin/geo/multiplier/"


@pytest.fixture
def admin(db: None) -> Client:
    loaded()
    client = Client()
    client.force_login(User.objects.create_superuser("root", "root@example.com", "x"))
    return client


def us() -> int:
    return public_counts()["residential-giga"]["default"]["provider-api"]["US"]


def edit(admin: Client, multiplier: Multiplier, factor: str, confirmed: str = "yes") -> Any:
    form = {
        "form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "form-0-id": multiplier.pk, "form-0-factor": factor,
        "_save": "Save", "confirmed": confirmed,
    }  # fmt: skip
    return admin.post(PAGE, form, follow=True)


def test_a_factor_edited_in_the_list_applies_at_once_and_is_stored(admin: Client) -> None:
    multiplier = Multiplier(proxy_type="residential-giga", country="US", factor=Decimal("1.5"))
    save_multiplier(multiplier)
    assert us() == 1_800_000
    page = admin.get(PAGE).content.decode()
    assert "1,200,000" in page
    assert "1,800,000" in page
    assert "2,400,000" in edit(admin, multiplier, "2").content.decode()
    assert us() == 2_400_000
    assert (
        LogEntry.objects.get()
        .get_change_message()
        .startswith("Changed factor from 1.5000 to 2. (from 127.0.0.1, request ")
    )


def test_a_changed_factor_is_previewed_before_it_is_saved(admin: Client) -> None:
    multiplier = Multiplier(proxy_type="residential-giga", country="US", factor=Decimal("1.5"))
    save_multiplier(multiplier)
    page = edit(admin, multiplier, "2", confirmed="").content.decode()
    for shown in ("1,200,000", "1,800,000", "2,400,000", 'name="form-0-factor" value="2"'):
        assert shown in page
    assert us() == 1_800_000
    assert not LogEntry.objects.exists()
    assert 'class="console-warning">hidden<' in edit(admin, multiplier, "0", confirmed="").content.decode()
    assert "Save these factors" not in edit(admin, multiplier, "1.5", confirmed="").content.decode()
    assert "Save these factors" not in edit(admin, multiplier, "-1", confirmed="").content.decode()


def test_a_factor_that_hides_countries_is_warned_of(admin: Client) -> None:
    multiplier = Multiplier(proxy_type="residential-giga", country="US", factor=Decimal(1))
    save_multiplier(multiplier)
    page = edit(admin, multiplier, "0").content.decode()
    assert "hides US from the public" in page
    assert page.count("hides US") == 2


def test_the_factor_of_all_countries_is_shown_with_those_it_decides_about(admin: Client) -> None:
    save_multiplier(Multiplier(proxy_type="residential-giga", country="*", factor=Decimal(1)))
    everything = sum(public_counts()["residential-giga"]["default"]["provider-api"].values())
    assert f"{everything:,}" in admin.get(PAGE).content.decode()
    save_multiplier(Multiplier(proxy_type="residential-giga", country="US", factor=Decimal(1)))
    assert f"{everything - 1_200_000:,}" in admin.get(PAGE).content.decode()


def test_a_deleted_multiplier_is_gone_at_once(admin: Client) -> None:
    for number in (2, 3):
        save_multiplier(Multiplier(proxy_type="residential-giga", country="US", factor=Decimal(number)))
        [multiplier] = Multiplier.objects.all()
        if number == 2:
            admin.post(f"{PAGE}{multiplier.pk}/delete/", {"post": "yes"})
        else:
            admin.post(PAGE, {"action": "delete_selected", "_selected_action": multiplier.pk, "post": "yes"})
        assert us() == 1_200_000


@pytest.mark.parametrize("factor", ["-1", "x", "1.00001", "99999"])
def test_an_invalid_factor_is_refused(admin: Client, factor: str) -> None:
    multiplier = Multiplier(proxy_type="residential-giga", country="US", factor=Decimal(1))
    save_multiplier(multiplier)
    edit(admin, multiplier, factor)
    assert us() == 1_200_000


def test_the_state_of_the_loaders_is_shown_and_they_can_be_run_again(admin: Client) -> None:
    page = admin.get("/admin/geo/countsnapshot/").content.decode()
    assert page.count("fresh") >= 4
    done = admin.post("/admin/geo/countsnapshot/", {"action": "refresh_now", "_selected_action": ["1"]}, follow=True)
    assert "All counts are fresh." in done.content.decode()


def test_a_snapshot_is_a_table_of_raw_and_public_counts(admin: Client) -> None:
    save_multiplier(Multiplier(proxy_type="residential-giga", country="US", factor=Decimal("1.5")))
    snapshot = CountSnapshot.objects.get(proxy_type="residential-giga")
    page = admin.get(f"/admin/geo/countsnapshot/{snapshot.pk}/change/").content.decode()
    assert "<td>US</td><td>1,200,000</td><td>1,800,000</td>" in page
    assert "{&quot;" not in page
