from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts import peppers, services
from accounts.models import ApiKey, User


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("create_api_key", *arguments, stdout=out)
    return out.getvalue()


def test_standard_output_contains_only_the_key(alice: User) -> None:
    printed = run("alice", "--name", "worker", "--scope", "read")
    assert services.KEY_SHAPE.fullmatch(printed.removesuffix("\n"))
    assert peppers.stored(printed.strip()).key_hash == ApiKey.objects.get().key_hash


def test_repeated_scope_options_add_up(alice: User) -> None:
    run("alice", "--name", "worker", "--scope", "read", "--scope", "ingest")
    assert ApiKey.objects.get().scopes == ["read", "ingest"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nobody", "--name", "k", "--scope", "read"), "There is no user 'nobody'."),
        (("alice", "--name", " ", "--scope", "read"), "The name must have 1 to 100 characters."),
        (("alice", "--name", "x" * 101, "--scope", "read"), "The name must have 1 to 100 characters."),
        (("alice", "--name", "k", "--scope", "admin"), "invalid choice: 'admin'"),
        (("alice", "--name", "k"), "--scope"),
    ],
)
def test_an_error_is_one_sentence(alice: User, arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        run(*arguments)
    assert not ApiKey.objects.exists()


def test_a_key_for_an_inactive_user_is_refused(alice: User) -> None:
    User.objects.update(is_active=False)
    with pytest.raises(CommandError, match="not active"):
        run("alice", "--name", "k", "--scope", "read")


def test_a_key_beyond_the_limit_is_refused(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_ACTIVE_KEYS", 0)
    with pytest.raises(CommandError, match="at most 0 active keys"):
        run("alice", "--name", "k", "--scope", "read")
