"""The page of the unsubscribe link in an alert e-mail."""

from __future__ import annotations

from typing import Any

from orders.models import Order
from usage.alerts import mail
from usage.models import Unsubscription
from usage.unsubscribe_page import UnsubscribePage


class UnsubscribeAlertsPage(UnsubscribePage):
    template_name = "alerts/unsubscribe.html"

    def follow(self, token: str, *, unsubscribe: bool) -> dict[str, Any]:
        order_id, address = mail.read_token(token)
        order = Order.objects.get(pk=order_id)
        if unsubscribe:
            Unsubscription.objects.get_or_create(order=order, address=address)
        return {"address": address}
