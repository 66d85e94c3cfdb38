"""Numbers and dates are written as the account says, on pages, in their scripts and in mails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone, translation

from accounts import sharing
from accounts.models import ApiKey, Membership, Role, User
from dashboard.overview import Subscription
from fonproxy.formats import LOCALES
from orders.models import Order
from usage.subscriptions import Allowance

ACCOUNT = "/dashboard/account"
GB = 2**30


def signed_in(user: User) -> Client:
    cache.clear()
    browser = Client()
    browser.force_login(user)
    return browser


def writes_as(user: User, locale: str) -> None:
    User.objects.filter(pk=user.pk).update(locale=locale)


def test_the_choice_is_saved_with_the_profile_and_shown_by_example(alice: User) -> None:
    browser = signed_in(alice)
    page = browser.get(ACCOUNT).content.decode()
    assert '<option value="" selected>1,234.5 · 2026-12-31 (International)</option>' in page
    assert '<option value="en-de">1.234,5 · 31.12.2026 (Germany)</option>' in page
    assert browser.post(ACCOUNT, {"locale": "en-de"})["Location"] == ACCOUNT
    assert User.objects.get(pk=alice.pk).locale == "en-de"
    assert '<html lang="en-de">' in browser.get(ACCOUNT).content.decode()


@pytest.mark.parametrize("locale", ["de", "en", "en-xx", "EN-DE", "x" * 1000, "\0"])
def test_a_locale_that_is_not_offered_is_refused(locale: str, alice: User) -> None:
    answer = signed_in(alice).post(ACCOUNT, {"locale": locale})
    assert "Correct the marked fields." in answer.content.decode()
    assert User.objects.get(pk=alice.pk).locale == ""


def test_a_locale_that_is_no_longer_offered_is_the_default(alice: User) -> None:
    writes_as(alice, "en-xx")
    assert '<html lang="en">' in signed_in(alice).get(ACCOUNT).content.decode()


def test_dates_and_sizes_of_pages_follow_the_choice(
    alice: User, make_key: Callable[..., str], make_order: Callable[..., Order]
) -> None:
    make_key(alice)
    ApiKey.objects.update(last_access_at=datetime(2026, 3, 1, 20, 30, tzinfo=UTC))
    make_order(alice, limit=1234 * GB + GB // 2)
    browser = signed_in(alice)
    assert "2026-03-01 20:30" in browser.get("/dashboard/keys").content.decode()
    assert "1,234.50 GB" in browser.get("/dashboard/ledger").content.decode()
    writes_as(alice, "en-de")
    assert "01.03.2026 20:30" in browser.get("/dashboard/keys").content.decode()
    ledger = browser.get("/dashboard/ledger").content.decode()
    assert ("1.234,50 GB" in ledger, "1.073.741.824 bytes" in ledger, "1,073" in ledger) == (True, True, False)


@pytest.mark.django_db
@pytest.mark.parametrize("locale", LOCALES)
def test_scripts_get_the_formats_of_their_page(locale: str, alice: User) -> None:
    writes_as(alice, locale)
    browser = signed_in(alice)
    path = f"/dashboard/strings/{locale}.js"
    for page in ("/dashboard/explore", "/proxies", "/docs/guide"):
        assert f'<script src="{path}" defer>' in browser.get(page).content.decode()
    script = Client().get(path)
    assert script.status_code == 200
    assert "text/javascript" in script["Content-Type"]
    comma = locale in ("en-de", "en-fr", "en-se")
    assert ('"DECIMAL_SEPARATOR": ","' in script.content.decode()) == comma


def test_scripts_in_other_languages_do_not_exist(db: None) -> None:
    for language in ("de", "en-xx", "x"):
        assert Client().get(f"/dashboard/strings/{language}.js").status_code == 404


def test_a_member_of_a_team_reads_in_the_own_formats(alice: User, bob: User) -> None:
    Membership.objects.create(account=alice, person=bob, role=Role.VIEWER, created_at=timezone.now())
    writes_as(bob, "en-de")
    browser = signed_in(bob)
    browser.post("/dashboard/switch", {"account": alice.published_id})
    assert '<html lang="en-de">' in browser.get("/dashboard/explore").content.decode()


def test_a_share_link_writes_as_its_maker(alice: User, bob: User) -> None:
    writes_as(alice, "en-de")
    writes_as(bob, "en-us")
    view = {"from": "2026-10-01T00:00:00Z", "to": "2026-10-02T00:00:00Z", "tz": "UTC"}
    _, secret = sharing.create(alice, "hers", view, timedelta(days=9), alice, timezone.now())
    for reader in (Client(), signed_in(bob)):
        page = reader.get(f"/shared/{secret}").content.decode()
        assert "01.10.2026 00:00 to 02.10.2026 00:00, UTC" in page
        assert "/dashboard/strings/en-de.js" in page


def test_a_subscription_writes_the_day_it_runs_out_as_every_other_day(
    alice: User, make_order: Callable[..., Order]
) -> None:
    now = datetime(2026, 11, 30, tzinfo=UTC)
    card = Subscription(make_order(alice), "active", Allowance(2 * GB, GB, GB), now + timedelta(days=3), now)
    for locale, day in (("en", "2026-12-03"), ("en-de", "03.12.2026")):
        with translation.override(locale):
            text = render_to_string("dashboard/subscription.html", {"card": card})
        assert f'<time datetime="2026-12-03">{day}</time>' in text


def test_forms_hold_numbers_and_days_as_browsers_read_them(alice: User, make_order: Callable[..., Order]) -> None:
    make_order(alice)
    writes_as(alice, "en-gb")
    page = signed_in(alice).get("/dashboard/ledger?first=2026-10-01&last=2026-10-02").content.decode()
    assert 'value="2026-10-01"' in page
