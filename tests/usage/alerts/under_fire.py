"""One process of the alerts' torture, on the stores that the environment names.

python -m tests.usage.alerts.under_fire setup URL   orders with alerts by mail and by webhook
python -m tests.usage.alerts.under_fire evaluate    evaluates until it is killed
python -m tests.usage.alerts.under_fire send        delivers until it is killed
python -m tests.usage.alerts.under_fire use         takes orders over their thresholds until its input ends
python -m tests.usage.alerts.under_fire settle      evaluates and delivers to the end; prints what there is
"""

from __future__ import annotations

import json
import select
import sys
import time
from datetime import timedelta
from typing import Final

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402
from django.db.models import Count  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import User  # noqa: E402
from fonproxy import delivery  # noqa: E402
from fonproxy.clickhouse import migrator  # noqa: E402
from fonproxy.clickhouse.client import get_client  # noqa: E402
from orders import proxy_users  # noqa: E402
from orders import services as order_services  # noqa: E402
from orders.models import Network, Order, Product, ProxyType  # noqa: E402
from tests.usage.helpers import carry  # noqa: E402
from usage import metering  # noqa: E402
from usage.alerts import deliveries, evaluation, login_limits, services  # noqa: E402
from usage.models import Alert, AlertKind, Delivery, Firing  # noqa: E402

ORDERS: Final = 4
LIMIT: Final = 1000
MIN_ROUNDS: Final = 3
# Short, so that the claims of a killed sender are tried again during the test.
delivery.CLAIM = timedelta(seconds=2)  # type: ignore[misc]  # shorter than a test
delivery.FIRST_PAUSE = timedelta(seconds=0.2)  # type: ignore[misc]


def setup(url: str) -> None:
    call_command("migrate", verbosity=0)
    migrator.migrate(get_client())
    now = timezone.now()
    product = Product.objects.create(name="R", proxy_type=ProxyType.RESIDENTIAL_GIGA, network=Network.RESIDENTIAL)
    for number in range(ORDERS):
        user = User.objects.create_user(f"customer{number}", f"customer{number}@example.com")
        order = order_services.buy(
            user=user, product=product, name="R", limit_bytes=LIMIT, started_at=now, expires_at=None, now=now
        )
        services.create(order, 80, Alert.Method.WEBHOOK, webhook_url=url, now=now)
        with transaction.atomic():
            proxy_users.put(order_services.locked(order), {f"login{number}": {"total_limit_bytes": LIMIT}}, now)
        kind = AlertKind.LOGIN_PERCENT
        services.create(order, 100, Alert.Method.WEBHOOK, kind=kind, webhook_url=url, now=now)


def evaluate() -> None:
    while True:
        evaluation.evaluate(timezone.now())
        login_limits.evaluate(timezone.now())


def send() -> None:
    while True:
        deliveries.send_due()
        time.sleep(0.02)


def use() -> None:
    """Every round takes every order and its login to 100 %, waits until all have fired, and begins a new period.

    A login's limit is raised instead. A slow machine gets the time that a few rounds take.
    """
    all_orders = list(Order.objects.order_by("pk"))
    rounds = 0
    while rounds < MIN_ROUNDS or not select.select([sys.stdin], [], [], 0)[0]:
        for order in all_orders:
            carry(order, timezone.now(), LIMIT)
        rounds += 1
        while Firing.objects.count() < Alert.objects.count() * rounds:
            time.sleep(0.02)
        metering.post_usage(timezone.now())
        for order in all_orders:
            order_services.renew(order, reference=str(rounds), author="shop", now=timezone.now())
            for login in order.proxy_users.all():
                proxy_users.change(login, {"total_limit_bytes": (rounds + 1) * LIMIT})
    print(json.dumps(rounds))  # noqa: T201


def settle() -> None:
    evaluation.evaluate(timezone.now())
    login_limits.evaluate(timezone.now())
    while Delivery.objects.filter(delivered_at=None).exists():
        deliveries.send_due()
        time.sleep(0.1)
    counts = dict(Alert.objects.values_list("pk").annotate(Count("firings")))
    fired = list(Firing.objects.select_related("alert"))
    told = [delivery.firing for delivery in Delivery.objects.select_related("firing__alert")]
    found = {
        "firings": counts,
        "fired": [reached(firing, firing.threshold) for firing in fired],
        # A mail also names the lower thresholds that were reached.
        "named": [reached(firing, each) for firing in told for each in (firing.threshold, *firing.also_reached)],
        "told": [(firing.alert.method, str(firing.pk)) for firing in told],
    }
    print(json.dumps(found))  # noqa: T201


def reached(firing: Firing, threshold: int) -> tuple[str, int, int]:
    return firing.alert.method, firing.alert.order_id, threshold


if __name__ == "__main__":
    step, *arguments = sys.argv[1:]
    {"setup": lambda: setup(arguments[0]), "evaluate": evaluate, "send": send, "use": use, "settle": settle}[step]()
