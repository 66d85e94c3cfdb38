from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts import applications, peppers, services
from accounts.models import ApiKey, Application, Order, Product, ProxyUser, User

MakeOrder = Callable[..., Order]
MakeKey = Callable[..., str]
MODELS = ("user", "product", "order", "proxyuser", "apikey", "application")


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def changelist(admin: Client, model: str, **query: str) -> Any:
    return admin.get(reverse(f"admin:accounts_{model}_changelist"), query)


def found(response: Any) -> list[Any]:
    return list(response.context["cl"].result_list)


@pytest.fixture
def plenty(make_order: MakeOrder, make_key: MakeKey) -> None:
    """Several rows of everything, no two of which share an owner."""
    for number in range(6):
        user = User.objects.create_user(f"user-{number}")
        order = make_order(user, network=["isp", "mobile", "residential"][number % 3])
        ProxyUser.objects.create(login=f"login-{number}", order=order)
        make_key(user, name=f"key-{number}")
        applications.create(user, f"API {number}", timezone.now())


@pytest.mark.parametrize("model", MODELS)
def test_a_list_takes_the_same_few_queries_however_long(
    admin: Client, plenty: None, model: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(5):  # session, user, count, rows, the filters' products
        assert len(found(changelist(admin, model))) >= 3


@pytest.mark.parametrize("model", MODELS)
def test_a_form_to_add_opens(admin: Client, model: str) -> None:
    assert admin.get(reverse(f"admin:accounts_{model}_add")).status_code == 200


@pytest.mark.parametrize(
    ("model", "kind"),
    [("user", User), ("product", Product), ("order", Order), ("proxyuser", ProxyUser), ("apikey", ApiKey)],
)
def test_a_form_to_change_opens(admin: Client, plenty: None, model: str, kind: Any) -> None:
    url = reverse(f"admin:accounts_{model}_change", args=[kind.objects.latest("pk").pk])
    assert admin.get(url).status_code == 200


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("term", ["no such thing", "9" * 40, "\0", "ö", "2"])
def test_no_search_term_breaks_a_list(admin: Client, plenty: None, model: str, term: str) -> None:
    assert changelist(admin, model, q=term).status_code == 200


def test_an_order_is_found_by_what_staff_know_of_it(admin: Client, alice: User, make_order: MakeOrder) -> None:
    order = make_order(alice, name="Spring")
    ProxyUser.objects.create(login="al-1", order=order)
    make_order(User.objects.create_user("bob"))
    for term in (order.published_id, str(order.pk), "spring", "alice", "al-1"):
        assert found(changelist(admin, "order", q=term)) == [order]


def test_a_number_may_be_an_id_or_part_of_a_name(admin: Client, alice: User, make_order: MakeOrder) -> None:
    first = make_order(alice)
    second = make_order(alice, name=f"Pool {first.pk}", logins=("al-1", "al-2"))
    assert found(changelist(admin, "order", q=str(first.pk))) == [second, first]


def test_users_and_keys_are_found_by_their_published_ids(admin: Client, alice: User, make_key: MakeKey) -> None:
    make_key(alice)
    key = ApiKey.objects.get()
    assert found(changelist(admin, "user", q=alice.published_id)) == [alice]
    assert found(changelist(admin, "apikey", q=key.published_id)) == [key]


def test_orders_are_filtered_by_product_and_network(admin: Client, plenty: None) -> None:
    product = Product.objects.get(network="isp")
    for query in ({"product__network": "isp"}, {"product__id__exact": str(product.pk)}):
        assert {order.product for order in found(changelist(admin, "order", **query))} == {product}


def test_an_order_shows_its_status_of_now(admin: Client, alice: User, make_order: MakeOrder) -> None:
    make_order(alice, expires_at=timezone.now() - timedelta(seconds=1))
    assert "Expired" in changelist(admin, "order").content.decode()


def test_an_order_is_added_with_its_proxy_users(admin: Client, alice: User) -> None:
    product = Product.objects.create(name="Mobile", proxy_type="mobile-giga", network="mobile")
    response = admin.post(
        reverse("admin:accounts_order_add"),
        {
            "user": alice.pk,
            "product": product.pk,
            "name": "Spring",
            "started_at_0": "2026-03-01",
            "started_at_1": "12:00:00",
            "proxy_users-TOTAL_FORMS": "1",
            "proxy_users-INITIAL_FORMS": "0",
            "proxy_users-0-login": "al-1",
        },
    )
    assert response.status_code == 302
    assert ProxyUser.objects.get().order.user == alice


def test_a_negative_limit_is_told_in_the_form(admin: Client, alice: User, make_order: MakeOrder) -> None:
    order = make_order(alice)
    response = admin.post(
        reverse("admin:accounts_order_change", args=[order.pk]),
        {
            "product": order.product_id,
            "name": "Spring",
            "traffic_limit_bytes": "-1",
            "started_at_0": "2026-03-01",
            "started_at_1": "12:00:00",
            "proxy_users-TOTAL_FORMS": "0",
            "proxy_users-INITIAL_FORMS": "0",
        },
    )
    assert "The traffic limit must not be negative." in response.content.decode()


def test_an_order_never_changes_hands(admin: Client, alice: User, make_order: MakeOrder) -> None:
    response = admin.get(reverse("admin:accounts_order_change", args=[make_order(alice).pk]))
    assert "user" not in response.context["adminform"].form.fields


def test_an_order_cannot_be_deleted(admin: Client, alice: User, make_order: MakeOrder) -> None:
    order = make_order(alice)
    assert admin.post(reverse("admin:accounts_order_delete", args=[order.pk]), {"post": "yes"}).status_code == 403
    admin.post(
        reverse("admin:accounts_order_changelist"),
        {"action": "delete_selected", "_selected_action": order.pk, "post": "yes"},
    )
    assert Order.objects.filter(pk=order.pk).exists()


def test_a_user_with_orders_is_not_deleted(admin: Client, alice: User, make_order: MakeOrder) -> None:
    make_order(alice)
    response = admin.post(reverse("admin:accounts_user_delete", args=[alice.pk]), {"post": "yes"})
    assert response.status_code == 200
    assert User.objects.filter(pk=alice.pk).exists()


@pytest.mark.parametrize(("model", "field"), [("order", "user"), ("order", "product"), ("proxyuser", "order")])
def test_related_rows_are_offered_as_staff_type(
    admin: Client, plenty: None, model: str, field: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    query = {"app_label": "accounts", "model_name": model, "field_name": field, "term": ""}
    with django_assert_max_num_queries(5):
        assert admin.get(reverse("admin:autocomplete"), query).json()["results"]


def new_key(admin: Client, user: User, **fields: str) -> Any:
    return admin.post(reverse("admin:accounts_apikey_add"), {"user": user.pk, "name": "worker", **fields}, follow=True)


def test_staff_issue_a_key_that_is_shown_once(admin: Client, alice: User) -> None:
    response = new_key(admin, alice, can_ingest="on")
    [message] = [str(message) for message in response.context["messages"] if "Copy" in str(message)]
    key = ApiKey.objects.get()
    assert peppers.stored(message.split()[-1]).key_hash == key.key_hash
    assert (key.user, key.scopes, key.prefix) == (alice, ["ingest"], message.split()[-1][:8])
    assert message.split()[-1] not in changelist(admin, "apikey").content.decode()


def test_a_key_without_a_scope_is_told_in_the_form(admin: Client, alice: User) -> None:
    assert "A key needs at least one scope." in new_key(admin, alice).content.decode()


def test_one_key_too_many_is_told_in_the_form(admin: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_ACTIVE_KEYS", 0)
    assert "already holds 0 active keys" in new_key(admin, alice, can_read="on").content.decode()


def test_a_key_without_a_user_is_told_in_the_form(admin: Client) -> None:
    response = admin.post(reverse("admin:accounts_apikey_add"), {"name": "worker", "can_read": "on"})
    assert "This field is required." in response.content.decode()


def test_changing_a_key_leaves_its_secret_and_its_owner(
    admin: Client, alice: User, bob: User, make_key: MakeKey
) -> None:
    make_key(alice)
    before = ApiKey.objects.get()
    url = reverse("admin:accounts_apikey_change", args=[before.pk])
    admin.post(url, {"name": "renamed", "can_ingest": "on", "user": bob.pk, "key_hash": "x", "prefix": "x"})
    after = ApiKey.objects.get()
    assert (after.name, after.scopes) == ("renamed", ["ingest"])
    assert (after.user, after.key_hash, after.prefix) == (alice, before.key_hash, before.prefix)


def test_the_hash_of_a_key_is_never_shown(admin: Client, alice: User, make_key: MakeKey) -> None:
    make_key(alice)
    key = ApiKey.objects.get()
    page = admin.get(reverse("admin:accounts_apikey_change", args=[key.pk])).content.decode()
    assert key.key_hash not in page
    assert key.key_hash not in changelist(admin, "apikey").content.decode()


def test_staff_revoke_keys_from_the_list(admin: Client, alice: User, make_key: MakeKey) -> None:
    make_key(alice)
    key = ApiKey.objects.get()
    admin.post(
        reverse("admin:accounts_apikey_changelist"),
        {"action": "revoke", "_selected_action": key.pk, "confirmed": "yes"},
    )
    assert not ApiKey.objects.get().is_active(timezone.now())
    assert "Revoked" in changelist(admin, "apikey").content.decode()


def test_customers_have_no_business_in_admin(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    assert client.get(reverse("admin:accounts_apikey_changelist")).status_code == 302


APPLICATIONS = "/admin/accounts/application/"


def test_staff_make_an_application_and_exchange_its_keys(admin: Client, alice: User) -> None:
    answer = admin.post(f"{APPLICATIONS}add/", {"user": alice.pk, "name": "Shop API", **NO_KEYS}, follow=True)
    first = keys_told(answer)
    application = Application.objects.get()
    assert (application.user, application.name) == (alice, "Shop API")
    assert first[0] not in admin.get(f"{APPLICATIONS}{application.pk}/change/").content.decode()
    for action, works_on in (("rotate_keys", True), ("end_keys", False)):
        selected = {"action": action, "_selected_action": [application.pk], "confirmed": "yes"}
        second = keys_told(admin.post(APPLICATIONS, selected, follow=True))
        now = timezone.now()
        assert (applications.find_key(application.published_id, first[0], now) is not None) is works_on
        assert applications.find_key(application.published_id, second[1], now) is not None
    assert LogEntry.objects.filter(object_id=str(application.pk), change_message__contains="at once").count() == 1
    assert admin.post(f"{APPLICATIONS}{application.pk}/delete/").status_code == 403


NO_KEYS = {"keys-TOTAL_FORMS": "0", "keys-INITIAL_FORMS": "0"}


def keys_told(answer: Any) -> list[str]:
    """The write key and the read key, as the message tells them."""
    [message] = [str(message) for message in answer.context["messages"] if "not shown again" in str(message)]
    return re.findall(r"(?:write|read) ([\w-]{40})", message)


def test_staff_without_all_powers_give_themselves_none(client: Client, alice: User) -> None:
    staff = User.objects.create_user("limited", is_staff=True)
    root = User.objects.create_superuser("the root")
    codenames = ("view_user", "change_user", "delete_user", "change_group", "view_group", "add_group")
    staff.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(staff)
    own = f"/admin/accounts/user/{staff.pk}/change/"
    fields = {
        "username": "limited",
        "is_active": "on",
        "is_staff": "on",
        "is_superuser": "on",
        "email": "l@example.com",
    }
    client.post(own, fields)
    staff.refresh_from_db()
    assert (staff.email, staff.is_superuser, staff.is_staff) == ("l@example.com", False, True)
    assert client.post(f"/admin/accounts/user/{root.pk}/change/", fields).status_code == 403
    assert client.get(f"/admin/accounts/user/{root.pk}/password/").status_code == 403
    assert client.post(f"/admin/accounts/user/{root.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"/admin/accounts/user/{alice.pk}/password/").status_code == 200
    assert client.post("/admin/auth/group/add/", {"name": "mine"}).status_code == 403
