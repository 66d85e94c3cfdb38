"""Permission classes alone: members of teams, recent proof, gateways and applications."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from accounts import permissions
from accounts.models import ApiKey, ApplicationKey, Role, Scope, User
from accounts.viewing import Viewed
from fonproxy.api.errors import ProofRequired

VIEW: Any = SimpleNamespace(allowed_methods=["GET", "HEAD", "POST", "DELETE"])
PERSON = User(pk=1)
KINDS = ApplicationKey.KeyKind


def request(method: str = "GET", user: Any = PERSON, auth: Any = None, minutes: float | None = 0) -> Any:
    """A request by somebody who proved their identity that many minutes ago."""
    proved_at = None if minutes is None else timezone.now() - timedelta(minutes=minutes)
    return SimpleNamespace(method=method, user=user, auth=auth, _request=SimpleNamespace(proved_at=proved_at))


def viewing(role: Role) -> Viewed:
    return Viewed(PERSON, User(pk=2), role)


def key(*scopes: Scope) -> ApiKey:
    return ApiKey(**{scope.column: scope in scopes for scope in Scope})


def may(permission: type[Any], *arguments: Any, **named: Any) -> bool:
    found = permission().has_permission(request(*arguments, **named), VIEW)
    assert isinstance(found, bool)
    return found


@pytest.mark.parametrize(
    ("auth", "methods"),
    [
        (None, {"GET", "HEAD", "POST", "DELETE"}),
        (viewing(Role.OWNER), {"GET", "HEAD", "POST", "DELETE"}),
        (viewing(Role.MANAGER), {"GET", "HEAD", "POST", "DELETE"}),
        (viewing(Role.VIEWER), {"GET", "HEAD"}),
        (key(Scope.READ), {"GET", "HEAD"}),
        (key(Scope.WRITE), {"POST", "DELETE"}),
        (key(), set()),
    ],
)
def test_role_and_scope_decide_reads_and_changes_of_own_data(auth: Any, methods: set[str]) -> None:
    assert {each for each in VIEW.allowed_methods if may(permissions.OwnData, each, auth=auth)} == methods
    assert not may(permissions.OwnData, user=AnonymousUser())


def test_anyone_signed_in_gets_405_for_an_unsupported_method() -> None:
    assert may(permissions.OwnData, "PATCH", auth=key())
    assert not may(permissions.OwnData, "PATCH", user=AnonymousUser())


def test_only_a_key_with_the_gateway_scope_is_a_gateway() -> None:
    for auth, is_one in ((None, False), (key(Scope.READ), False), (key(Scope.GATEWAY), True)):
        assert permissions.is_gateway(request(auth=auth)) == is_one
        assert may(permissions.IsGateway, auth=auth) == is_one


def test_a_person_is_signed_in_without_a_key() -> None:
    assert may(permissions.IsPerson)
    assert may(permissions.IsPerson, auth=viewing(Role.VIEWER))
    assert not may(permissions.IsPerson, auth=key(Scope.READ))
    assert not may(permissions.IsPerson, user=AnonymousUser())


def test_only_an_owner_with_a_recent_proof_makes_lasting_credentials() -> None:
    proof = permissions.HasRecentProof
    assert may(proof, "POST", minutes=14)
    assert may(proof, "POST", minutes=14, auth=viewing(Role.OWNER))
    for minutes in (15, None):
        with pytest.raises(ProofRequired, match="older than 15 minutes"):
            may(proof, "POST", minutes=minutes)
        assert may(proof, "GET", minutes=minutes)
        assert may(proof, "DELETE", minutes=minutes)
    for role in (Role.MANAGER, Role.VIEWER):
        assert not may(proof, "GET", auth=viewing(role))
    assert not may(proof, "POST", auth=key(Scope.WRITE))
    assert not may(proof, "POST", user=AnonymousUser())


def test_an_application_writes_with_one_key_and_reads_with_another() -> None:
    for kind, writes in ((KINDS.WRITE, True), (KINDS.READ, False)):
        auth = ApplicationKey(kind=kind)
        assert (may(permissions.CanWriteEvents, auth=auth), may(permissions.CanReadEvents, auth=auth)) == (
            writes,
            not writes,
        )
    for other in (None, key(Scope.READ, Scope.WRITE)):
        assert not may(permissions.CanWriteEvents, auth=other)
        assert not may(permissions.CanReadEvents, auth=other)
