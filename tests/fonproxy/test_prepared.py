"""Queries that are compiled once: each call reads the current rows, and returns what the ORM would."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from accounts.models import ApiKey, User
from accounts.services import issue_key
from fonproxy.prepared import Prepared

pytestmark = pytest.mark.django_db

by_prefix = Prepared(lambda prefixes: ApiKey.objects.select_related("user").filter(prefix__in=prefixes), str)
names = Prepared(lambda numbers: User.objects.filter(pk__in=numbers).values_list("pk", "username"), int)


def test_prepared_queries_return_the_orms_models_with_their_relation(worker: Any) -> None:
    key = issue_key(user=worker, name="a", scopes=("ingest",), now=timezone.now())[0]
    [found] = by_prefix.rows([key.prefix])
    fresh = ApiKey.objects.get()
    assert all(getattr(found, field.attname) == getattr(fresh, field.attname) for field in ApiKey._meta.fields)
    assert "user" in found._state.fields_cache
    assert (found.user, type(found.can_ingest), found.user.is_active) == (worker, bool, True)


def test_a_change_is_seen_at_once(worker: Any) -> None:
    assert names.rows([worker.pk]) == [(worker.pk, "worker")]
    User.objects.filter(pk=worker.pk).update(username="renamed")
    assert names.rows([worker.pk]) == [(worker.pk, "renamed")]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 8])
def test_any_number_of_values_finds_each_row_once(count: int) -> None:
    users = [User.objects.create_user(f"user {number}") for number in range(count)]
    assert sorted(names.rows([user.pk for user in users])) == [(user.pk, user.username) for user in users]


def test_a_query_with_a_value_of_its_own_is_refused() -> None:
    fixed = Prepared(lambda numbers: User.objects.filter(pk__in=numbers, username="x").values_list("pk"), int)
    with pytest.raises(ValueError, match="binds"):
        fixed.rows([1])
