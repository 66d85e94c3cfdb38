"""What a credential may do. A key acts as its user, but only within its scopes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import ApiKey, ApplicationKey

if TYPE_CHECKING:  # the views read this module by name from the settings, while they are being imported
    from rest_framework.views import APIView


class CanRead(BasePermission):
    """Anyone signed in; a key needs the scope ``read``."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if isinstance(request.auth, ApiKey):
            return request.auth.can_read
        return request.user.is_authenticated


class CanIngest(BasePermission):
    """A key with the scope ``ingest``, which only staff can grant, or a member of staff in person."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if isinstance(request.auth, ApiKey):
            return request.auth.can_ingest
        return _is_staff(request)


class IsPerson(BasePermission):
    """A token or a session, never a key: a leaked key must not be able to make more of itself."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.is_authenticated and not isinstance(request.auth, ApiKey)


class IsStaff(CanRead):
    """A member of staff, in person or by a key with the scope ``read``."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return super().has_permission(request, view) and _is_staff(request)


class CanWriteEvents(BasePermission):
    """An application's write key."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, ApplicationKey) and request.auth.kind == ApplicationKey.Kind.WRITE


class CanReadEvents(BasePermission):
    """An application's read key."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, ApplicationKey) and request.auth.kind == ApplicationKey.Kind.READ


def _is_staff(request: Request) -> bool:
    return request.user.is_authenticated and request.user.is_staff
