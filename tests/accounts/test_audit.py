"""The audit log has the author, the old and the new value of each change, and cannot be changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.audit_trail import Actor
from accounts.erasure import erase
from accounts.models import ApiKey, User
from fonproxy.api.errors import Conflict
from geo.models import StaticIp
from orders.models import LedgerEntry, Order, Product, ProxyUser

MakeOrder = Callable[..., Order]
LIST = "admin:admin_logentry_changelist"


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root")


@pytest.fixture
def admin(root: User) -> Client:
    client = Client()
    client.force_login(root)
    return client


def latest() -> str:
    return str(LogEntry.objects.latest("pk").get_change_message())


def split(moment: Any, name: str) -> dict[str, str]:
    return {f"{name}_0": f"{moment:%Y-%m-%d}", f"{name}_1": f"{moment:%H:%M:%S}"}


def test_a_change_is_logged_with_both_values_the_address_and_the_request(
    admin: Client, alice: User, make_order: MakeOrder
) -> None:
    order = make_order(alice, limit=5, name="Spring", logins=("al-1",))
    login = order.proxy_users.get()
    url = reverse("admin:orders_order_change", args=[order.pk])
    inline = {"TOTAL_FORMS": "2", "INITIAL_FORMS": "1", "0-id": login.pk, "0-login": "al-9", "1-login": "al-2"}
    form = {"name": "Summer", "traffic_limit_bytes": "7", "period_timezone": "UTC"}
    form |= split(order.started_at, "started_at")
    rows = {f"proxy_users-{name}": value for name, value in inline.items()}
    answer = admin.post(url, form | rows, headers={"X-Request-Id": "case-7"})
    assert answer.status_code == 302, answer.context["errors"]
    message = latest()
    assert f"name from Spring to Summer, traffic_limit_bytes from 5 to {7 * 2**30}" in message
    assert "Added proxy user al-2." in message
    assert "Changed proxy user al-9: login from al-1 to al-9." in message
    assert message.endswith("(from 127.0.0.1, request case-7)")


def test_an_addition_is_logged_with_its_values(admin: Client, alice: User, make_order: MakeOrder) -> None:
    order = make_order(alice, limit=5 * 2**30)
    given = {"order": order.pk, "reason": "adjustment", "bytes": "-3", "reference": "case 7", "note": "late"}
    assert admin.post(reverse("admin:orders_ledgerentry_add"), given).status_code == 302
    assert LedgerEntry.objects.filter(reference="case 7").exists()
    assert f"reason adjustment, bytes {-3 * 2**30}, reference case 7, note late" in latest()


def test_a_referenced_row_is_logged_by_its_name(admin: Client, alice: User, make_order: MakeOrder) -> None:
    first, second = make_order(alice, name="First"), make_order(alice, name="Second")
    login = ProxyUser.objects.create(login="al-1", order=first)
    admin.post(reverse("admin:orders_proxyuser_change", args=[login.pk]), {"login": "al-1", "order": second.pk})
    assert f"Changed order from {first} to {second}." in latest()


def test_no_secret_gets_into_the_log(admin: Client, alice: User) -> None:
    password = "a long enough Secret 7"
    new = {"username": "carol", "usable_password": "true", "password1": password, "password2": password}
    assert admin.post(reverse("admin:accounts_user_add"), new).status_code == 302
    assert latest().startswith("Added with username carol.")
    admin.post(
        reverse("admin:auth_user_password_change", args=[alice.pk]), {"password1": password, "password2": password}
    )
    assert latest().startswith("Changed password.")
    added = admin.post(
        reverse("admin:accounts_apikey_add"), {"user": alice.pk, "name": "crawler", "can_read": "on"}, follow=True
    )
    assert "fnp_" in added.content.decode()
    for entry in LogEntry.objects.all():
        assert password not in entry.change_message
        assert "fnp_" not in entry.change_message


def test_a_deletion_is_logged(admin: Client) -> None:
    product = Product.objects.create(name="Old", proxy_type="residential-giga", network="mobile")
    admin.post(reverse("admin:orders_product_delete", args=[product.pk]), {"post": "yes"})
    assert (LogEntry.objects.get().object_repr, latest()[:8]) == ("Old", "Deleted.")


def test_an_action_on_many_addresses_is_one_entry(admin: Client) -> None:
    for number in (1, 2):
        StaticIp.objects.create(address=f"192.0.2.{number}", proxy_type="server-static", geoip_country="DE")
    chosen = {
        "action": "mark_unavailable",
        "_selected_action": [ip.pk for ip in StaticIp.objects.all()],
        "confirmed": "yes",
    }
    admin.post(reverse("admin:geo_staticip_changelist"), chosen)
    assert latest().startswith("Marked as not available.")
    assert LogEntry.objects.get().object_repr == "2 static IPs"


def test_not_even_a_superuser_changes_the_log(admin: Client, root: User) -> None:
    entry = write(root)
    page = admin.get(reverse(LIST))
    assert page.status_code == 200
    assert b"delete_selected" not in page.content
    for name, arguments in (("add", []), ("change", [entry.pk]), ("delete", [entry.pk])):
        answer = admin.post(reverse(f"admin:admin_logentry_{name}", args=arguments), {"post": "yes"})
        assert answer.status_code == 403
    assert LogEntry.objects.get() == entry


def test_an_author_of_log_entries_cannot_be_deleted(admin: Client, root: User) -> None:
    former = User.objects.create_user("former")
    write(former)
    admin.post(reverse("admin:accounts_user_delete", args=[former.pk]), {"post": "yes"})
    chosen = {"action": "delete_selected", "_selected_action": [former.pk], "post": "yes"}
    admin.post(reverse("admin:accounts_user_changelist"), chosen)
    with pytest.raises(Conflict, match="audit log has entries"):
        erase(former, timezone.now(), Actor())
    assert User.objects.filter(pk=former.pk).exists()
    assert LogEntry.objects.filter(user=former).exists()


def test_an_erased_customer_is_erased_from_the_log_as_well(
    clean_engine: Any, admin: Client, alice: User, make_order: MakeOrder
) -> None:
    order = make_order(alice, limit=5 * 2**30, logins=("al-1",))
    login = order.proxy_users.get()
    admin.post(reverse("admin:orders_proxyuser_change", args=[login.pk]), {"login": "al-2", "order": order.pk})
    admin.post(reverse("admin:orders_ledgerentry_add"), {"order": order.pk, "reason": "adjustment", "bytes": "-3"})
    assert LogEntry.objects.count() == 2
    erase(alice, timezone.now(), Actor())
    assert not LogEntry.objects.exists()


def test_the_log_is_searched_and_filtered_in_the_same_few_queries(
    admin: Client, root: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(30):
        write(User.objects.create_user(f"staff-{number}", is_staff=True), f"Changed limit from {number} to 7.")
    with django_assert_max_num_queries(7):  # session, user, count, rows, and the filters' staff and content types
        assert len(admin.get(reverse(LIST)).context["cl"].result_list) == 30
    for query in ({"q": "from 29 to"}, {"user": str(User.objects.get(username="staff-29").pk)}, {"q": "staff-29"}):
        [entry] = admin.get(reverse(LIST), query).context["cl"].result_list
        assert entry.user.username == "staff-29"
    assert admin.get(reverse(LIST), {"user": "x"}).status_code == 200


def test_staff_without_the_permission_do_not_see_the_log(helper: User) -> None:
    client = Client()
    client.force_login(helper)
    assert client.get(reverse(LIST)).status_code == 403


def write(user: User, message: str = "Changed.") -> LogEntry:
    return LogEntry.objects.create(
        user=user,
        content_type=ContentType.objects.get_for_model(ApiKey),
        object_id="1",
        object_repr="a key",
        action_flag=CHANGE,
        change_message=message,
        action_time=timezone.now(),
    )
