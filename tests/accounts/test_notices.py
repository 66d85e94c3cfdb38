"""Owners get mails about changes of their credentials; passwords are long enough; a reset may revoke keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from redis.exceptions import RedisError

from accounts import applications, notices, tokens
from accounts.models import ApiKey, TokenFamily, User
from accounts.notices import Notice
from accounts.sign_in import RevokingForm
from fonproxy import counters
from tests.serving import free_port
from tests.usage.alerts.receiver import smtp

NEW = "a much better one"


def choose_password(user: User, password: str, **more: str) -> Any:
    """Follows the link of a reset mail."""
    browser = Client()
    link = [urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)]
    form = browser.get(reverse("new-password", args=link)).headers["Location"]
    return browser.post(form, {"new_password1": password, "new_password2": password, **more})


def test_the_owner_is_notified_of_a_new_key(alice: User, client_for: Any, sent: Callable[[], list[Any]]) -> None:
    key = client_for(alice).post("/api-keys", {"name": "Ignore this mail"}, format="json").json()["apiKey"]
    [mail] = sent()
    assert mail.to == ["alice@example.com"]
    assert f"your account alice: a new API key was created ({key['prefix']}…)." in mail.body
    assert key["key"] not in mail.body
    assert key["name"] not in mail.body  # an attacker could have chosen it


def test_a_loop_of_changes_sends_ten_mails_an_hour_and_hides_no_other_event(
    alice: User, bob: User, make_key: Callable[..., str], sent: Callable[[], list[Any]]
) -> None:
    with suppress(ZeroDivisionError), transaction.atomic():
        make_key(alice)
        raise ZeroDivisionError
    for _ in range(12):
        make_key(alice)
    mails = sent()
    assert ["not mailed" in mail.body for mail in mails] == [False] * 9 + [True]
    notices.send(Notice.NEW_ADDRESS, alice, "old@example.com")
    make_key(bob)
    assert [mail.to for mail in sent()] == [["old@example.com"], ["bob@example.com"]]


@pytest.mark.skipif(bool(settings.REDIS_URL), reason="Redis has a clock of its own")
def test_the_next_hour_has_ten_mails_again(
    alice: User, make_key: Callable[..., str], sent: Callable[[], list[Any]]
) -> None:
    with time_machine.travel(timezone.now()) as clock:
        for _ in range(12):
            make_key(alice)
        assert len(sent()) == 10
        clock.shift(timedelta(hours=1))
        make_key(alice)
        assert len(sent()) == 1


def test_a_notice_is_mailed_while_the_count_is_unavailable(
    alice: User, make_key: Callable[..., str], sent: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*args: Any) -> int:
        raise RedisError

    monkeypatch.setattr(counters, "count", unavailable)
    make_key(alice)
    assert len(sent()) == 1


def test_a_new_password_notifies_its_owner_and_ends_tokens(alice: User, sent: Callable[[], list[Any]]) -> None:
    tokens.issue(alice, timezone.now())
    assert choose_password(alice, NEW).status_code == 302
    [mail] = sent()
    assert (mail.to, "the password was changed" in mail.body) == (["alice@example.com"], True)
    assert NEW not in mail.body
    assert not TokenFamily.objects.exists()


def test_a_new_account_gets_no_notice(db: None, sent: Callable[[], list[Any]]) -> None:
    User.objects.create_user("zoe", "zoe@example.com", NEW)
    assert sent() == []


def test_a_user_without_an_address_gets_no_notice(db: None, sent: Callable[[], list[Any]]) -> None:
    user = User.objects.create_user("zoe", "", NEW)
    user.set_password(NEW + "!")
    user.save()
    assert sent() == []


@pytest.mark.parametrize(("more", "is_revoked"), [({}, False), ({"revoke_keys": "on"}, True)])
def test_a_reset_offers_to_revoke_all_keys(
    more: dict[str, str], is_revoked: bool, alice: User, bob: User, make_key: Callable[..., str]
) -> None:
    make_key(alice)
    make_key(bob)
    application, _ = applications.create(alice, "API", timezone.now())
    assert choose_password(alice, NEW, **more).status_code == 302
    assert (ApiKey.objects.get(user=alice).revoked_at is not None) == is_revoked
    assert application.keys.filter(ends_at=None).exists() != is_revoked
    assert ApiKey.objects.get(user=bob).revoked_at is None


def test_a_link_for_a_new_password_works_for_one_of_two_concurrent_requests(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clean_after_the_other_request(form: RevokingForm) -> dict[str, Any]:
        monkeypatch.undo()
        choose_password(alice, NEW)
        return form.cleaned_data

    monkeypatch.setattr(RevokingForm, "clean", clean_after_the_other_request)
    assert "changed at the same moment" in choose_password(alice, NEW + "!").content.decode()
    assert User.objects.get(pk=alice.pk).check_password(NEW)


@pytest.mark.parametrize("password", ["elevenchars", "password1234", "alice@example.com", "123456789012"])
def test_short_common_and_own_names_are_refused_as_passwords(password: str, alice: User) -> None:
    with pytest.raises(ValidationError):
        validate_password(password, alice)
    page = choose_password(alice, password).content.decode()
    assert re.search("errorlist|too (short|common|similar)", page)
    alice.refresh_from_db()
    assert not alice.check_password(password)


def test_twelve_characters_are_enough(alice: User) -> None:
    validate_password("twelve chars", alice)


def test_a_notice_to_an_address_that_has_no_ascii_form_is_logged(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    with smtp(settings.EMAIL_PORT) as mailbox:
        notices.mail("Subject", "Text", "a@\u05d0a1.com")
        assert mailbox.mails == []
    assert "a notice could not be mailed" in caplog.text
