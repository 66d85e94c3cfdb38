from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.exceptions import NotFound

from accounts import applications, email_change, factors, services, sharing, team
from accounts.models import ApiKey, Application, Role, TotpDevice, User
from accounts.services import issue_key, record_access, revoke_key
from fonproxy.api.errors import Conflict
from tests.accounts.helpers import NOW
from tests.accounts.test_second_factor import code_for

SECOND = timedelta(seconds=1)


@pytest.fixture
def key(alice: User) -> ApiKey:
    return issue_key(user=alice, name="crawler", scopes=["read"], now=NOW)[0]


def test_a_key_is_a_prefix_and_256_random_bits(alice: User) -> None:
    key, secret = issue_key(user=alice, name="crawler", scopes=["read"], now=NOW)
    assert services.KEY_SHAPE.fullmatch(secret)
    assert key.prefix == secret[:8]
    assert key.created_at == NOW


def test_a_secret_is_stored_as_a_hash_only(alice: User) -> None:
    _, secret = issue_key(user=alice, name="crawler", scopes=["read"], now=NOW)
    stored = str(ApiKey.objects.values().get())
    assert secret not in stored
    assert secret[8:] not in stored


@pytest.mark.parametrize("scopes", [["read"], ["ingest"], ["read", "ingest"]])
def test_a_key_has_the_scopes_it_was_issued_with(alice: User, scopes: list[str]) -> None:
    key, _ = issue_key(user=alice, name="crawler", scopes=scopes, now=NOW)
    assert ApiKey.objects.get(pk=key.pk).scopes == scopes


def test_nothing_is_created_for_a_request_that_a_new_password_overtakes(alice: User) -> None:
    """Somebody with the session could repeat the request until one of them is admitted before and runs after."""
    current = User.objects.get(pk=alice.pk)
    current.set_password("another one entirely")
    current.save()
    with pytest.raises(Conflict):
        issue_key(user=alice, name="crawler", scopes=["read"], now=NOW)
    with pytest.raises(Conflict):
        applications.create(alice, "API", NOW)
    key, now = factors.new_key(), timezone.now()
    assert factors.enrol(alice, key, code_for(key), now) is None
    assert [model.objects.count() for model in (ApiKey, Application, TotpDevice)] == [0, 0, 0]
    assert factors.enrol(current, key, code_for(key), now) is not None


def test_a_change_that_an_erasure_overtakes_finds_no_account(alice: User, key: ApiKey) -> None:
    """Otherwise it would be an internal error."""
    erased = User.objects.get(pk=alice.pk)
    User.objects.filter(pk=alice.pk).delete()
    for change in (
        lambda: services.rotate_key(key, NOW),
        lambda: team.invite(erased, "new@example.com", Role.VIEWER, erased, NOW),
        lambda: sharing.create(erased, "link", {}, SECOND, erased, NOW),
        lambda: email_change.confirm(erased, "secret", NOW),
    ):
        with pytest.raises(NotFound):
            change()
    for refused in (
        lambda: issue_key(user=erased, name="k", scopes=["read"], now=NOW),
        lambda: applications.create(erased, "API", NOW),
    ):
        with pytest.raises(Conflict):
            refused()


def test_a_user_has_a_maximum_number_of_active_keys(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_ACTIVE_KEYS", 2)
    for _ in range(2):
        issue_key(user=alice, name="k", scopes=["read"], now=NOW)
    with pytest.raises(Conflict):
        issue_key(user=alice, name="k", scopes=["read"], now=NOW)


def test_revoked_expired_and_foreign_keys_leave_room(alice: User, bob: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_ACTIVE_KEYS", 1)
    revoke_key(issue_key(user=alice, name="revoked", scopes=["read"], now=NOW)[0], NOW)
    issue_key(user=alice, name="expired", scopes=["read"], expires_at=NOW - SECOND, now=NOW)
    issue_key(user=bob, name="foreign", scopes=["read"], now=NOW)
    assert issue_key(user=alice, name="k", scopes=["read"], now=NOW)


def test_a_key_revoked_twice_keeps_the_first_time(key: ApiKey) -> None:
    revoke_key(key, NOW)
    revoke_key(key, NOW + SECOND)
    key.refresh_from_db()
    assert key.revoked_at == NOW


def test_the_first_use_of_a_key_is_recorded(key: ApiKey) -> None:
    record_access(key, NOW)
    key.refresh_from_db()
    assert key.last_access_at == NOW


def test_a_use_within_a_minute_of_the_last_is_not_recorded(
    key: ApiKey, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    key.last_access_at = NOW
    with django_assert_num_queries(0):
        record_access(key, NOW + timedelta(seconds=60))


def test_a_use_a_minute_later_is_recorded(key: ApiKey) -> None:
    record_access(key, NOW)
    key.refresh_from_db()
    record_access(key, NOW + timedelta(seconds=61))
    key.refresh_from_db()
    assert key.last_access_at == NOW + timedelta(seconds=61)


def test_a_use_never_moves_the_record_back(key: ApiKey) -> None:
    """Another process recorded a later use since this one read the key."""
    ApiKey.objects.update(last_access_at=NOW + SECOND)
    record_access(key, NOW)
    key.refresh_from_db()
    assert key.last_access_at == NOW + SECOND


def test_recording_a_use_does_not_undo_a_revocation(key: ApiKey) -> None:
    revoke_key(ApiKey.objects.get(pk=key.pk), NOW)
    record_access(key, NOW)
    key.refresh_from_db()
    assert key.revoked_at == NOW
