"""What staff may do through the APIs: they need the same Django permissions as in the admin."""

from __future__ import annotations

from typing import Final

from accounts.models import OWN_SCOPES, Scope, User

INGEST: Final = "analytics.add_ingestbatch"
VIEW_METRICS: Final = "analytics.view_ingestbatch"
VIEW_CUSTOMERS: Final = "accounts.view_user"
GRANT_STAFF_SCOPES: Final = "accounts.add_apikey"


def staff_may(user: object, *permissions: str) -> bool:
    """Whether the user is an active member of staff with all these Django permissions."""
    return isinstance(user, User) and user.is_active and user.is_staff and user.has_perms(permissions)


def grantable(user: User) -> set[str]:
    """The scopes that the user may grant to their own keys."""
    return set(Scope if staff_may(user, GRANT_STAFF_SCOPES) else OWN_SCOPES)
