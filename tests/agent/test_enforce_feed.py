"""The agent understands the cut-off feed as FonProxy sends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from fonproxy_agent.enforce import FeedPage, apply
from rest_framework.test import APIClient

from accounts.models import User
from orders.models import Order


def test_suspended_logins_are_stopped_and_resumed_ones_released(
    client_for: Callable[..., APIClient], make_order: Callable[..., Order], alice: User, staff: User
) -> None:
    User.objects.filter(pk=staff.pk).update(is_superuser=True)
    client = client_for(User.objects.get(pk=staff.pk))
    order = make_order(alice, logins=("alice-1", "alice 2"), external_id="o-1")

    def feed(since: str) -> Any:
        return msgspec.json.decode(client.get(f"/provisioning/exhausted?since={since}").content, type=FeedPage)

    assert client.post(f"/provisioning/orders/{order.external_id}/suspend").status_code == 200
    first = feed("0")
    assert apply(set(), first.changes) == {"alice-1", "alice 2"}
    assert client.post(f"/provisioning/orders/{order.external_id}/resume").status_code == 200
    assert apply({"alice-1", "alice 2"}, feed(first.cursor).changes) == set()
