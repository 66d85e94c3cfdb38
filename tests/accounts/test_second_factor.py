"""A password alone is never enough for staff, nor for anybody who has set up an authenticator."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from urllib.parse import unquote

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from django_otp.oath import totp
from rest_framework.test import APIClient

from accounts import factors, tokens
from accounts.models import RecoveryCode, TotpDevice, User
from accounts.sign_in import NEW_KEY
from fonproxy import sealing
from tests.accounts.helpers import PASSWORD, access

FACTOR = "/sign-in/second-factor"


@pytest.fixture(autouse=True)
def _staff_need_a_factor(settings: Any) -> None:
    settings.STAFF_SECOND_FACTOR = True


@pytest.fixture
def clock(db: None) -> Iterator[Any]:
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False) as clock:
        yield clock


def code_of(user: User) -> str:
    return code_for(TotpDevice.objects.get(user=user).sealed_key)


def code_for(sealed_key: str) -> str:
    return f"{totp(bytes.fromhex(sealing.unseal(sealed_key))):06}"


def code_shown(browser: Client) -> str:
    """The code of the authenticator that this browser is shown."""
    return code_for(browser.session[NEW_KEY][0])


def enrol(user: User) -> list[str]:
    """Sets up an authenticator; returns the recovery codes."""
    key = factors.new_key()
    codes = factors.enrol(user, key, code_for(key), timezone.now())
    assert codes
    return codes


def verify(user: User, code: str) -> bool:
    return factors.verify(user, code, timezone.now())


def give_password(user: User, **more: str) -> tuple[Client, Any]:
    browser = Client()
    return browser, browser.post("/sign-in", {"username": user.username, "password": PASSWORD, **more})


def is_signed_in(browser: Client) -> bool:
    return browser.get("/orders").status_code == 200


def test_staff_without_an_authenticator_set_one_up_before_they_are_signed_in(staff: User, clock: Any) -> None:
    browser, answer = give_password(staff)
    assert answer.headers["Location"].startswith(FACTOR)
    assert not is_signed_in(browser)
    assert browser.get("/admin/").status_code == 302
    page = browser.get(FACTOR).content.decode()
    assert "Your account requires an authenticator app." in page
    done = browser.post(FACTOR, {"code": code_shown(browser)})
    assert len(done.context["codes"]) == 10
    assert is_signed_in(browser)
    assert browser.get("/admin/").status_code == 200


def test_a_new_password_ends_a_sign_in_that_waits_on_its_second_page(staff: User, clock: Any) -> None:
    browser, _ = give_password(staff)
    browser.get(FACTOR)
    code = code_shown(browser)
    staff.set_password("another correct horse")
    staff.save()
    assert browser.post(FACTOR, {"code": code}).headers["Location"] == "/sign-in"
    assert not is_signed_in(browser)


def test_only_customers_with_an_authenticator_need_a_code(alice: User, bob: User, clock: Any) -> None:
    enrol(alice)
    clock.shift(30)
    browser, _ = give_password(alice)
    assert not is_signed_in(browser)
    assert browser.post(FACTOR, {"code": code_of(alice)}).headers["Location"] == "/dashboard"
    assert is_signed_in(browser)
    assert is_signed_in(give_password(bob)[0])


def test_the_second_factor_page_continues_to_the_requested_page_and_never_to_another_site(
    alice: User, clock: Any
) -> None:
    enrol(alice)
    for wanted, went in (("/dashboard/keys", "/dashboard/keys"), ("https://evil.example/", "/dashboard")):
        clock.shift(30)
        browser, answer = give_password(alice, next=wanted)
        done = browser.post(answer.headers["Location"], {"code": code_of(alice), "next": wanted})
        assert done.headers["Location"] == went


def test_a_code_works_once(alice: User, clock: Any) -> None:
    enrol(alice)
    clock.shift(30)
    code = code_of(alice)
    assert verify(alice, code)
    assert not verify(alice, code)


def test_wrong_codes_throttle_the_next_attempt(alice: User, clock: Any) -> None:
    enrol(alice)
    clock.shift(300)
    for _ in range(3):
        assert not verify(alice, "000000")
    assert not verify(alice, code_of(alice))
    clock.shift(300)
    assert verify(alice, code_of(alice))


def test_a_recovery_code_works_once_in_any_spelling(alice: User, clock: Any) -> None:
    first, second, *_ = enrol(alice)
    assert verify(alice, first)
    assert not verify(alice, first)
    clock.shift(300)
    assert verify(alice, second.upper().replace("-", " "))


@pytest.mark.parametrize("code", ["", "12345", "1234567", "١٢٣٤٥٦", "\0", "a" * 40, "-00001"])
def test_a_malformed_code_is_refused(alice: User, clock: Any, code: str) -> None:
    enrol(alice)
    clock.shift(300)
    assert not verify(alice, code)
    browser, _ = give_password(alice)
    assert browser.post(FACTOR, {"code": code}).status_code == 200
    assert not is_signed_in(browser)


def test_the_second_factor_page_expires_ten_minutes_after_the_password(alice: User, clock: Any) -> None:
    enrol(alice)
    assert Client().get(FACTOR).headers["Location"] == "/sign-in"
    browser, _ = give_password(alice)
    clock.shift(601)
    assert browser.post(FACTOR, {"code": code_of(alice)}).headers["Location"] == "/sign-in"
    assert not is_signed_in(browser)


def test_a_token_needs_the_factor_too(alice: User, clock: Any) -> None:
    [recovery, *_] = enrol(alice)
    clock.shift(30)
    body = {"username": "alice", "password": PASSWORD}
    for otp in ({}, {"otp": "000000"}):
        refused = APIClient().post("/auth/token", body | otp, format="json")
        assert (refused.status_code, refused.json()["message"]) == (401, "auth.second_factor_required")
    clock.shift(60)
    for otp in ({"otp": code_of(alice)}, {"otp": recovery}):
        assert APIClient().post("/auth/token", body | otp, format="json").status_code == 200


def test_a_wrong_password_does_not_reveal_the_second_factor(alice: User, clock: Any) -> None:
    enrol(alice)
    refused = APIClient().post("/auth/token", {"username": "alice", "password": "wrong"}, format="json")
    assert refused.json()["message"] == "auth.not_authenticated"


def test_staff_without_an_authenticator_get_no_token(staff: User) -> None:
    refused = APIClient().post("/auth/token", {"username": "staff", "password": PASSWORD}, format="json")
    assert (refused.status_code, refused.json()["message"]) == (401, "auth.second_factor_required")


def test_sign_ins_without_the_factor_end_when_a_customer_becomes_staff(alice: User) -> None:
    token, browser = access(alice), Client()
    browser.force_login(alice)
    assert is_signed_in(browser)
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    assert not is_signed_in(browser)
    assert APIClient().get("/orders", headers={"authorization": f"Bearer {token}"}).status_code == 401


def test_the_database_alone_cannot_generate_codes(alice: User, clock: Any) -> None:
    codes = enrol(alice)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM totp_devices")
        stored = str(cursor.fetchall())
        cursor.execute("SELECT * FROM recovery_codes")
        stored += str(cursor.fetchall())
    device = TotpDevice.objects.get()
    assert sealing.unseal(device.sealed_key) not in stored
    assert factors.setup(alice, device.sealed_key)["key"] not in stored
    assert not any(code in stored or code.replace("-", "") in stored for code in codes)


def test_a_second_factor_encrypted_under_a_lost_key_refuses_sign_in(alice: User, clock: Any, settings: Any) -> None:
    enrol(alice)
    clock.shift(30)
    code = code_of(alice)
    settings.SEALING_KEYS = ["0" * 64]
    assert not verify(alice, code)
    assert enrol(alice)


def test_owners_are_notified_of_new_and_removed_factors(alice: User, clock: Any, sent: Any) -> None:
    enrol(alice)
    [added] = sent()
    factors.remove(alice)
    [removed] = sent()
    assert (added.to, removed.to) == (["alice@example.com"], ["alice@example.com"])
    assert "two-factor authentication was turned on" in added.body
    assert "two-factor authentication was turned off" in removed.body


def test_a_lost_second_factor_is_removed_by_command(alice: User, clock: Any) -> None:
    enrol(alice)
    pair = tokens.issue(alice, datetime.now(UTC))
    call_command("remove_second_factor", "alice", stdout=StringIO())
    assert not TotpDevice.objects.exists()
    assert not RecoveryCode.objects.exists()
    assert APIClient().get("/orders", headers={"authorization": f"Bearer {pair.access}"}).status_code == 401


def signed_in(user: User) -> Client:
    browser = Client()
    browser.force_login(user)
    return browser


def test_a_customer_sets_a_factor_up_changes_and_removes_it(alice: User, clock: Any) -> None:
    browser = signed_in(alice)
    page = browser.get("/dashboard/account/factor").content.decode()
    assert "Your account requires" not in page
    assert "recovery code" not in page
    wrong = browser.post("/dashboard/account/factor", {"code": "000000"})
    assert "Wrong code." in wrong.content.decode()
    clock.shift(30)
    done = browser.post("/dashboard/account/factor", {"code": code_shown(browser)})
    assert len(done.context["codes"]) == 10
    renewed = browser.post("/dashboard/account/recovery-codes")
    assert not set(renewed.context["codes"]) & set(done.context["codes"])
    assert browser.post("/dashboard/account/factor/remove").headers["Location"] == "/dashboard/account"
    assert not factors.is_enrolled(alice)


def test_the_qr_code_is_dark_on_light_in_both_themes(alice: User) -> None:
    picture = unquote(factors.setup(alice, factors.new_key())["qr_code"])
    assert picture.startswith("data:image/svg+xml")
    assert "fill='#fff'" in picture


def test_every_session_is_shown_its_own_setup_key(staff: User, clock: Any) -> None:
    thief, owner = (give_password(staff)[0] for _ in range(2))
    for browser in (thief, owner):
        browser.get(FACTOR)
    assert thief.session[NEW_KEY][0] != owner.session[NEW_KEY][0]
    owner.post(FACTOR, {"code": code_shown(owner)})
    clock.shift(30)
    thief.post(FACTOR, {"code": code_shown(thief)})
    assert (is_signed_in(owner), is_signed_in(thief)) == (True, False)


def test_an_old_session_is_not_shown_a_setup_key(alice: User, clock: Any) -> None:
    browser = signed_in(alice)
    clock.shift(timedelta(minutes=16))
    assert browser.get("/dashboard/account/factor").headers["Location"].startswith("/confirm?next=")


def test_staff_cannot_remove_their_second_factor(staff: User, clock: Any) -> None:
    enrol(staff)
    clock.shift(30)
    browser, _ = give_password(staff)
    browser.post(FACTOR, {"code": code_of(staff)})
    assert browser.post("/dashboard/account/factor/remove").status_code == 403
    assert factors.is_enrolled(staff)


def test_staff_who_view_as_a_customer_cannot_set_up_a_factor_for_them(staff: User, alice: User, settings: Any) -> None:
    settings.STAFF_SECOND_FACTOR = False
    browser = signed_in(staff)
    browser.post(f"/admin/accounts/user/{alice.pk}/view-as/")
    assert browser.get("/dashboard/account/factor").status_code == 403
    assert not TotpDevice.objects.exists()


def test_password_guesses_from_a_stolen_session_are_throttled(alice: User, clock: Any) -> None:
    browser = signed_in(alice)
    answers = [browser.post("/confirm", {"password": "wrong"}, REMOTE_ADDR="10.0.0.1").status_code for _ in range(11)]
    assert answers == [200] * 10 + [429]


def test_the_confirmation_page_requires_the_code_too(alice: User, clock: Any) -> None:
    browser = signed_in(alice)
    enrol(alice)
    clock.shift(timedelta(minutes=20))
    for given, status in (
        ({"password": PASSWORD}, 200),
        ({"password": PASSWORD, "code": "000000"}, 200),
        ({"password": "wrong", "code": "000000"}, 200),
    ):
        assert browser.post("/confirm?next=/dashboard/keys", given).status_code == status
    clock.shift(60)
    done = browser.post("/confirm?next=/dashboard/keys", {"password": PASSWORD, "code": code_of(alice)})
    assert done.headers["Location"] == "/dashboard/keys"
