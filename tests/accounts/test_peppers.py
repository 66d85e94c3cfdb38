"""How keys are stored, and what happens to them when the pepper changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts import applications, peppers
from accounts.models import ApiKey, ApplicationKey, User
from tests.accounts.helpers import client_with
from tests.serving import manage

MakeKey = Callable[..., str]
OLD, NEW = "o" * 32, "n" * 32
CHANGE_SECRET = {"FONPROXY_SECRET_KEY": "s" * 50, "FONPROXY_SECRET_KEY_FALLBACKS": "f" * 50}


@pytest.fixture
def old_key(alice: User, make_key: MakeKey, settings: Any) -> str:
    settings.KEY_PEPPERS = [OLD]
    return make_key(alice)


def works(key: str) -> bool:
    return bool(client_with(key).get("/orders").status_code == 200)


def test_the_database_alone_does_not_reveal_whether_a_guess_is_a_key(old_key: str) -> None:
    assert ApiKey.objects.get().key_hash != hashlib.sha256(old_key.encode()).hexdigest()


def test_a_key_under_an_older_pepper_works_and_is_rehashed_under_the_newest(old_key: str, settings: Any) -> None:
    settings.KEY_PEPPERS = [NEW, OLD]
    assert works(old_key)
    assert ApiKey.objects.get().pepper == peppers.name_of(NEW)
    settings.KEY_PEPPERS = [NEW]
    assert works(old_key)


def test_a_key_whose_pepper_was_removed_does_not_work(old_key: str, settings: Any) -> None:
    settings.KEY_PEPPERS = [NEW]
    assert not works(old_key)


def test_a_process_that_only_knows_the_coming_pepper_still_uses_the_old_one(old_key: str, settings: Any) -> None:
    settings.KEY_PEPPERS = [OLD, NEW]
    assert works(old_key)
    assert ApiKey.objects.get().pepper == peppers.name_of(OLD)


def test_application_keys_are_rehashed_on_use_too(alice: User, settings: Any) -> None:
    settings.KEY_PEPPERS = [OLD]
    made, keys = applications.create(alice, "API", timezone.now())
    settings.KEY_PEPPERS = [NEW, OLD]
    assert applications.find_key(made.published_id, keys.read, timezone.now())
    stored = dict(ApplicationKey.objects.values_list("kind", "pepper"))
    assert stored == {"read": peppers.name_of(NEW), "write": peppers.name_of(OLD)}


def test_an_unknown_key_costs_as_many_queries_as_a_known_one(
    old_key: str, settings: Any, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    settings.KEY_PEPPERS = [NEW, OLD]
    with django_assert_num_queries(1):
        assert not works("fnp_" + "0" * 64)


def test_a_key_from_before_peppers_works_and_is_rehashed_by_command(alice: User, make_key: MakeKey) -> None:
    key = make_key(alice)
    bare = hashlib.sha256(key.encode()).hexdigest()
    ApiKey.objects.update(key_hash=bare, pepper="")
    assert works(key)
    assert ApiKey.objects.get().key_hash == bare  # a process of that version may still run
    assert "1 keys had no pepper" in told()
    assert (works(key), ApiKey.objects.get().key_hash != bare) == (True, True)
    assert "0 keys had no pepper" in told()


def test_staff_see_how_many_keys_depend_on_which_pepper(
    old_key: str, alice: User, make_key: MakeKey, settings: Any
) -> None:
    settings.KEY_PEPPERS = [NEW, OLD]
    make_key(alice)
    make_key(alice)
    assert f"2 keys depend on pepper 1 ({peppers.name_of(NEW)})" in told()
    assert f"1 keys depend on pepper 2 ({peppers.name_of(OLD)})" in told()
    settings.KEY_PEPPERS = [NEW]
    with pytest.raises(CommandError, match=rf"1 keys depend on a pepper .* \({peppers.name_of(OLD)}\): they do not"):
        told()


def test_peppers_are_not_counted_where_there_are_no_tables_yet(tmp_path: Path) -> None:
    refused = manage(tmp_path, "pepper_keys")
    assert (refused.returncode, "The keys cannot be read. Has migrate been run?" in refused.stderr) == (1, True)
    assert "Traceback" not in refused.stderr


def told() -> str:
    out = StringIO()
    call_command("pepper_keys", stdout=out, stderr=out)
    return out.getvalue()


def test_another_secret_key_is_refused_while_published_ids_would_change_with_it(tmp_path: Path) -> None:
    refused = manage(tmp_path, "check", **CHANGE_SECRET)
    assert (refused.returncode, "needs FONPROXY_ID_SALT" in refused.stderr) == (1, True)
    assert manage(tmp_path, "check", FONPROXY_ID_SALT="pinned", **CHANGE_SECRET).returncode == 0


def test_a_short_pepper_stops_the_program_without_being_repeated(tmp_path: Path) -> None:
    refused = manage(tmp_path, "check", FONPROXY_KEY_PEPPERS=f"{NEW},hunter2")
    assert (refused.returncode, "at least 32 characters" in refused.stderr) == (1, True)
    assert "hunter2" not in refused.stderr
