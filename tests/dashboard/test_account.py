"""The account page: profile and time zone, address, password, mails."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey, EmailChange, User
from dashboard.account import PasswordForm
from dashboard.browsers import browser_name
from orders.models import Order
from tests.accounts.helpers import PASSWORD, access
from usage.models import Unsubscription

ACCOUNT = "/dashboard/account"
NEW = "another horse that is right"
LINK = re.compile(r"http://\S+(/dashboard/account/email/confirm/\S+)")


def signed_in(user: User) -> Client:
    cache.clear()
    browser = Client()
    browser.force_login(user)
    return browser


def test_every_page_shows_the_profiles_name_and_zone(alice: User) -> None:
    browser = signed_in(alice)
    given = {"first_name": "Alice", "last_name": "Adams", "time_zone": "Asia/Tokyo"}
    assert browser.post(ACCOUNT, given)["Location"] == ACCOUNT
    for path in ("/dashboard/keys", ACCOUNT):
        page = browser.get(path).content.decode()
        assert '<span class="account-name">Alice Adams</span>' in page
        assert '<meta name="zone" content="Asia/Tokyo">' in page
        assert '<span id="zone">Asia/Tokyo</span>' in page


def test_without_javascript_times_are_in_the_accounts_zone(alice: User, make_key: Callable[..., str]) -> None:
    make_key(alice)
    ApiKey.objects.update(last_access_at=datetime(2026, 3, 1, 20, 30, tzinfo=UTC))
    User.objects.filter(pk=alice.pk).update(time_zone="Asia/Tokyo")
    assert "2026-03-02 05:30" in signed_in(alice).get("/dashboard/keys").content.decode()


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "localtime", "x" * 1000, "\0"])
def test_an_unknown_zone_is_refused(zone: str, alice: User) -> None:
    browser = signed_in(alice)
    answer = browser.post(ACCOUNT, {"time_zone": zone})
    assert answer.status_code == 200
    assert "Correct the marked fields." in answer.content.decode()
    assert User.objects.get(pk=alice.pk).time_zone == ""


def test_a_zone_that_no_longer_exists_falls_back_to_utc(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(time_zone="Mars/Olympus")
    assert signed_in(alice).get(ACCOUNT).status_code == 200


def test_a_profile_changes_nothing_but_the_profile(alice: User) -> None:
    signed_in(alice).post(ACCOUNT, {"first_name": "A", "is_staff": "on", "email": "x@example.com", "username": "root"})
    found = User.objects.get(pk=alice.pk)
    assert (found.first_name, found.is_staff, found.email, found.username) == ("A", False, alice.email, "alice")


def asked(browser: Client, address: str, sent: Callable[[], list[Any]]) -> str:
    """The path of the link mailed to the address."""
    assert browser.post(f"{ACCOUNT}/email", {"address": address})["Location"] == ACCOUNT
    [mail] = sent()
    assert mail.to == [address]
    found = LINK.search(mail.body)
    assert found
    return found[1]


def test_an_address_changes_when_the_new_one_is_confirmed_and_the_old_one_is_notified(
    alice: User, sent: Callable[[], list[Any]]
) -> None:
    browser = signed_in(alice)
    link = asked(browser, "new@example.com", sent)
    assert "new@example.com is not confirmed yet" in browser.get(ACCOUNT).content.decode()
    assert "new@example.com" in browser.get(link).content.decode()
    assert User.objects.get(pk=alice.pk).email == "alice@example.com"
    assert browser.post(link)["Location"] == ACCOUNT
    assert User.objects.get(pk=alice.pk).email == "new@example.com"
    [notice] = sent()
    assert notice.to == ["alice@example.com"]
    assert "the e-mail address was changed" in notice.body
    assert browser.post(link).status_code == 404


def test_the_link_works_for_its_user_only(alice: User, bob: User, sent: Callable[[], list[Any]]) -> None:
    link = asked(signed_in(alice), "mistyped@example.com", sent)
    for stranger in (signed_in(bob), Client()):
        assert stranger.get(link).status_code in (302, 404)
        assert stranger.post(link).status_code in (302, 404)
    assert set(User.objects.values_list("email", flat=True)) == {"alice@example.com", "bob@example.com"}


def test_a_link_ends_by_expiry_replacement_cancellation_or_a_new_password(
    alice: User, sent: Callable[[], list[Any]]
) -> None:
    browser = signed_in(alice)
    first = asked(browser, "one@example.com", sent)
    second = asked(browser, "two@example.com", sent)
    assert browser.get(first).status_code == 404
    assert browser.get(second).status_code == 200
    with time_machine.travel(timezone.now() + timedelta(hours=24, seconds=1), tick=False):
        assert browser.get(second).status_code == 404
    browser.post(f"{ACCOUNT}/email/cancel")
    assert browser.get(second).status_code == 404
    asked(browser, "three@example.com", sent)
    alice.set_password(NEW)
    alice.save()
    assert not EmailChange.objects.exists()


def test_the_table_alone_does_not_reveal_a_link(alice: User, sent: Callable[[], list[Any]]) -> None:
    link = asked(signed_in(alice), "new@example.com", sent)
    assert link.rpartition("/")[2] not in str(EmailChange.objects.values().get())


@pytest.mark.parametrize(
    "address", ["", "nonsense", "alice@example.com", f"{'a' * 250}@example.com", "a@b\r\nCc: c@d", "a@\u05d0a1.com"]
)
def test_an_invalid_address_is_refused(address: str, alice: User, sent: Callable[[], list[Any]]) -> None:
    assert signed_in(alice).post(f"{ACCOUNT}/email", {"address": address}).status_code == 200
    assert not EmailChange.objects.exists()
    assert sent() == []


def test_confirmation_mails_are_throttled(alice: User) -> None:
    browser = signed_in(alice)
    answers = [browser.post(f"{ACCOUNT}/email", {"address": f"{n}@example.com"}) for n in range(6)]
    assert [answer.status_code for answer in answers] == [302] * 5 + [200]
    assert "five confirmation links an hour" in answers[-1].content.decode()


def test_changing_the_address_needs_a_recent_sign_in(alice: User) -> None:
    browser = signed_in(alice)
    with time_machine.travel(timezone.now() + timedelta(minutes=16), tick=False):
        for answer in (browser.get(f"{ACCOUNT}/email"), browser.post(f"{ACCOUNT}/email", {"address": "x@example.com"})):
            assert answer["Location"].startswith("/confirm?next=")
    assert not EmailChange.objects.exists()


def test_a_new_password_keeps_this_session_and_ends_all_others(
    alice: User, make_key: Callable[..., str], sent: Callable[[], list[Any]]
) -> None:
    make_key(alice)
    sent()
    here, there, token = signed_in(alice), signed_in(alice), access(alice)
    given = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    assert here.post(f"{ACCOUNT}/password", given)["Location"] == ACCOUNT
    assert here.get(ACCOUNT).status_code == 200
    assert there.get(ACCOUNT).status_code == 302
    assert there.get("/orders", headers={"authorization": f"Bearer {token}"}).status_code == 401
    assert User.objects.get(pk=alice.pk).check_password(NEW)
    assert ApiKey.objects.get().revoked_at is None
    [notice] = sent()
    assert "the password was changed" in notice.body


def test_a_new_password_is_not_replaced_by_one_that_was_requested_with_the_old_one(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_before_the_owner_chooses_another(form: PasswordForm) -> str:
        user = User.objects.get(pk=alice.pk)
        user.set_password(NEW)
        user.save()
        return str(form.cleaned_data["old_password"])

    browser = signed_in(alice)
    monkeypatch.setattr(PasswordForm, "clean_old_password", check_before_the_owner_chooses_another)
    given = {"old_password": PASSWORD, "new_password1": NEW + "!", "new_password2": NEW + "!"}
    assert "changed at the same moment" in browser.post(f"{ACCOUNT}/password", given).content.decode()
    assert User.objects.get(pk=alice.pk).check_password(NEW)


def test_a_new_password_revokes_the_keys_if_requested(alice: User, make_key: Callable[..., str]) -> None:
    make_key(alice)
    given = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW, "revoke_keys": "on"}
    signed_in(alice).post(f"{ACCOUNT}/password", given)
    assert ApiKey.objects.get().revoked_at is not None


def test_changing_the_password_needs_the_old_one_and_attempts_are_throttled(alice: User) -> None:
    browser = signed_in(alice)
    given = {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW}
    answers = [browser.post(f"{ACCOUNT}/password", given).status_code for _ in range(11)]
    assert answers == [200] * 10 + [429]
    assert User.objects.get(pk=alice.pk).check_password(PASSWORD)


def test_mails_that_were_unsubscribed_from_are_received_again(
    alice: User, bob: User, make_order: Callable[..., Order]
) -> None:
    mine, others = make_order(alice, limit=2**30), make_order(bob, limit=2**30)
    for order in (mine, others):
        Unsubscription.objects.create(order=order, address="alice@example.com")
    browser = signed_in(alice)
    page = browser.get(ACCOUNT).content.decode()
    assert page.count("Receive them again") == 1
    assert browser.post(f"{ACCOUNT}/mails/{others.published_id}").status_code == 404
    assert browser.post(f"{ACCOUNT}/mails/{mine.published_id}").status_code == 302
    assert list(Unsubscription.objects.values_list("order", flat=True)) == [others.pk]


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Windows"),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36 Edg/140.0",
            "Edge on Linux",
        ),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1", "Safari on iPhone"),
        (
            "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile Safari/537.36",
            "Chrome on Android",
        ),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", ""),
    ],
)
def test_sessions_are_named_by_browser_and_system(user_agent: str, name: str) -> None:
    assert browser_name(user_agent) == name
