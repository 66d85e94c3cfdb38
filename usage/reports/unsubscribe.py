"""The unsubscribe page of a report."""

from __future__ import annotations

from typing import Any

from usage.reports import mail
from usage.unsubscribe_page import UnsubscribePage


class UnsubscribeReportsPage(UnsubscribePage):
    template_name = "reports/unsubscribe.html"

    def follow(self, token: str, *, unsubscribe: bool) -> dict[str, Any]:
        """Following the link again gives the same response."""
        subscription = mail.subscription_of(token)
        if subscription is None:
            return {"is_done": True}
        if unsubscribe:
            subscription.delete()
        return {}
