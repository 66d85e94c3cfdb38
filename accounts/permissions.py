"""What a credential may do: a key acts as its user within its scopes, staff within their Django permissions.

A session that views another account acts as that account, within the person's role in its team. Staff need the same
permissions as in the admin. A key never exceeds its owner: the scope ``provision`` also needs its owner's permissions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.utils import timezone
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounts import proof
from accounts.models import ApiKey, ApplicationKey, Role, Scope, ShareLink
from accounts.powers import INGEST, VIEW_METRICS, staff_may
from accounts.viewing import Viewed
from fonproxy.api.errors import ProofRequired

if TYPE_CHECKING:  # The settings name this module for the views, which are being imported at that time.
    from rest_framework.views import APIView


class OwnData(BasePermission):
    """Anyone signed in. A key needs ``read`` for GET and HEAD, and ``write`` for every other method.

    In a team, every member has ``read``; managers and owners also have ``write``.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        if request.method not in view.allowed_methods:
            return request.user.is_authenticated  # the view answers 405 for any scope
        needed = Scope.READ if request.method in SAFE_METHODS else Scope.WRITE
        return request.user.is_authenticated and _has_scope(request, needed)


class CanIngest(BasePermission):
    """A key with ``ingest``, or a member of staff with the permission to add batches."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if isinstance(request.auth, ApiKey):
            return request.auth.has_scope(Scope.INGEST)
        return staff_may(request.user, INGEST)


class CanReadMetrics(BasePermission):
    """A key with ``metrics``, or a member of staff with the permission to view batches."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if isinstance(request.auth, ApiKey):
            return request.auth.has_scope(Scope.METRICS)
        return staff_may(request.user, VIEW_METRICS)


class CanProvision(BasePermission):
    """A member of staff with the Django permissions named by the view, in person or by a key with ``provision``.

    The view is a ViewSet with ``required_permissions``: the permissions by action.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        required: dict[str, tuple[str, ...]] = view.required_permissions  # type: ignore[attr-defined]
        action: str | None = view.action  # type: ignore[attr-defined]
        # Callers who may use the route get a 405 for a method that it lacks.
        needed = () if action in (None, "metadata") else required[action]
        return staff_may(request.user, *needed) and _has_scope(request, Scope.PROVISION)


class CanFollowCutOff(CanProvision):
    """As CanProvision; also a key with ``gateway``, because proxy servers follow the feed."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return is_gateway(request) or super().has_permission(request, view)


class IsGateway(BasePermission):
    """A key with the scope ``gateway``, for proxy servers. Sessions and tokens never have it."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return is_gateway(request)


class IsPerson(BasePermission):
    """A token or a session, never a key: a leaked key must not be able to create more keys."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.is_authenticated and not isinstance(request.auth, ApiKey)


class HasRecentProof(IsPerson):
    """A person who signed in, or confirmed the password, a moment ago; reading and revoking need no proof.

    In a team, only owners: keys keep working after their creator has left.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not super().has_permission(request, view):
            return False
        if isinstance(request.auth, Viewed) and not request.auth.is_owner:
            return False
        if request.method == "POST" and not proof.is_recent(request._request.proved_at, timezone.now()):  # type: ignore[attr-defined]  # the authenticators leave it
            raise ProofRequired("Sign in again first: your sign-in is older than 15 minutes.")
        return True


class HasShareLink(BasePermission):
    """A share link, for reads only."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, ShareLink)


class ApplicationKeyPermission(BasePermission):
    kind: ClassVar[ApplicationKey.KeyKind]

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, ApplicationKey) and request.auth.kind == self.kind


class CanWriteEvents(ApplicationKeyPermission):
    """An application's write key."""

    kind = ApplicationKey.KeyKind.WRITE


class CanReadEvents(ApplicationKeyPermission):
    """An application's read key."""

    kind = ApplicationKey.KeyKind.READ


def is_gateway(request: Request) -> bool:
    return isinstance(request.auth, ApiKey) and request.auth.has_scope(Scope.GATEWAY)


def _has_scope(request: Request, scope: Scope) -> bool:
    if isinstance(request.auth, Viewed):
        return scope is Scope.READ or request.auth.may(Role.MANAGER)
    return not isinstance(request.auth, ApiKey) or request.auth.has_scope(scope)
