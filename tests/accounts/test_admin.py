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
from accounts.models import ApiKey, Application, User
from orders.models import Order, Product, ProxyUser

MakeOrder = Callable[..., Order]
MakeKey = Callable[..., str]
MODELS = ("user", "product", "order", "proxyuser", "apikey", "application")


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def app_of(model: str) -> str:
    return "orders" if model in ("order", "product", "proxyuser") else "accounts"


def changelist(admin: Client, model: str, **query: str) -> Any:
    return admin.get(reverse(f"admin:{app_of(model)}_{model}_changelist"), query)


def found(response: Any) -> list[Any]:
    return list(response.context["cl"].result_list)


@pytest.fixture
def plenty(make_order: MakeOrder, make_key: MakeKey) -> None:
    """Several rows of everything, no two of which have the same owner."""
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
def test_every_add_form_opens(admin: Client, model: str) -> None:
    assert admin.get(reverse(f"admin:{app_of(model)}_{model}_add")).status_code == 200


@pytest.mark.parametrize(
    ("model", "kind"),
    [("user", User), ("product", Product), ("order", Order), ("proxyuser", ProxyUser), ("apikey", ApiKey)],
)
def test_every_change_form_opens(admin: Client, plenty: None, model: str, kind: Any) -> None:
    url = reverse(f"admin:{app_of(model)}_{model}_change", args=[kind.objects.latest("pk").pk])
    assert admin.get(url).status_code == 200


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("term", ["no such thing", "9" * 40, "\0", "ö", "2"])
def test_no_search_term_breaks_a_list(admin: Client, plenty: None, model: str, term: str) -> None:
    assert changelist(admin, model, q=term).status_code == 200


def test_an_order_is_found_by_its_ids_names_and_logins(admin: Client, alice: User, make_order: MakeOrder) -> None:
    order = make_order(alice, name="Spring")
    ProxyUser.objects.create(login="al-1", order=order)
    make_order(User.objects.create_user("bob"))
    for term in (order.published_id, str(order.pk), "spring", "alice", "al-1"):
        assert found(changelist(admin, "order", q=term)) == [order]


def test_a_number_is_searched_as_an_id_and_as_part_of_a_name(admin: Client, alice: User, make_order: MakeOrder) -> None:
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


def test_an_order_shows_its_current_status(admin: Client, alice: User, make_order: MakeOrder) -> None:
    make_order(alice, expires_at=timezone.now() - timedelta(seconds=1))
    assert "Expired" in changelist(admin, "order").content.decode()


def test_an_order_is_added_with_its_proxy_users(admin: Client, alice: User) -> None:
    product = Product.objects.create(name="Mobile", proxy_type="mobile-giga", network="mobile")
    response = admin.post(
        reverse("admin:orders_order_add"),
        {
            "user": alice.pk,
            "product": product.pk,
            "name": "Spring",
            "period_timezone": "UTC",
            "started_at_0": "2026-03-01",
            "started_at_1": "12:00:00",
            "proxy_users-TOTAL_FORMS": "1",
            "proxy_users-INITIAL_FORMS": "0",
            "proxy_users-0-login": "al-1",
        },
    )
    assert response.status_code == 302
    assert ProxyUser.objects.get().order.user == alice


def test_a_negative_limit_is_an_error_in_the_form(admin: Client, alice: User, make_order: MakeOrder) -> None:
    order = make_order(alice)
    response = admin.post(
        reverse("admin:orders_order_change", args=[order.pk]),
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
    assert "Ensure this value is greater than or equal to 0." in response.content.decode()


def test_a_limit_is_in_gigabytes_and_loses_no_byte_when_something_else_changes(
    admin: Client, alice: User, make_order: MakeOrder
) -> None:
    order = make_order(alice, limit=2**30 + 1)
    url = reverse("admin:orders_order_change", args=[order.pk])
    form = admin.get(url).context["adminform"].form
    shown = form["traffic_limit_bytes"].value()
    given = {
        "name": "Renamed",
        "period_timezone": "UTC",
        "started_at_0": "2026-03-01",
        "started_at_1": "12:00:00",
        "proxy_users-TOTAL_FORMS": "0",
        "proxy_users-INITIAL_FORMS": "0",
    }
    for text, limit in ((shown, 2**30 + 1), ("2.5", 5 * 2**29), ("", None)):
        assert admin.post(url, {**given, "traffic_limit_bytes": text}).status_code == 302
        order.refresh_from_db()
        assert (order.name, order.traffic_limit_bytes) == ("Renamed", limit)


def test_the_user_of_an_order_cannot_be_changed(admin: Client, alice: User, make_order: MakeOrder) -> None:
    response = admin.get(reverse("admin:orders_order_change", args=[make_order(alice).pk]))
    assert "user" not in response.context["adminform"].form.fields


def test_an_order_cannot_be_deleted(admin: Client, alice: User, make_order: MakeOrder) -> None:
    order = make_order(alice)
    assert admin.post(reverse("admin:orders_order_delete", args=[order.pk]), {"post": "yes"}).status_code == 403
    admin.post(
        reverse("admin:orders_order_changelist"),
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
    query = {"app_label": app_of(model), "model_name": model, "field_name": field, "term": ""}
    with django_assert_max_num_queries(5):
        assert admin.get(reverse("admin:autocomplete"), query).json()["results"]


def new_key(admin: Client, user: User, **fields: str) -> Any:
    return admin.post(reverse("admin:accounts_apikey_add"), {"user": user.pk, "name": "worker", **fields}, follow=True)


def test_staff_issue_a_key_that_is_shown_once(admin: Client, alice: User) -> None:
    response = new_key(admin, alice, can_ingest="on")
    [secret] = shown_once(admin, response)
    key = ApiKey.objects.get()
    assert peppers.stored(secret).key_hash == key.key_hash
    assert (key.user, key.scopes, key.prefix) == (alice, ["ingest"], secret[:8])
    assert secret not in changelist(admin, "apikey").content.decode()
    assert reverse("admin:accounts_apikey_change", args=[key.pk]) in response.content.decode()


def shown_once(admin: Client, answer: Any) -> list[str]:
    """The secrets in the response to a form, which are stored neither in browsers nor in the sessions table."""
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    secrets = re.findall("<code>(.+?)</code>", answer.content.decode())
    assert not any(secret in str(dict(admin.session)) for secret in secrets)
    return secrets


def test_a_key_without_a_scope_is_an_error_in_the_form(admin: Client, alice: User) -> None:
    assert "A key needs at least one scope." in new_key(admin, alice).content.decode()


def test_a_key_beyond_the_limit_is_an_error_in_the_form(
    admin: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "MAX_ACTIVE_KEYS", 0)
    assert "already holds 0 active keys" in new_key(admin, alice, can_read="on").content.decode()


def test_a_key_without_a_user_is_an_error_in_the_form(admin: Client) -> None:
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


def test_customers_cannot_open_the_admin(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    assert client.get(reverse("admin:accounts_apikey_changelist")).status_code == 302


APPLICATIONS = "/admin/accounts/application/"


def test_staff_make_an_application_and_exchange_its_keys(admin: Client, alice: User) -> None:
    answer = admin.post(f"{APPLICATIONS}add/", {"user": alice.pk, "name": "Shop API", **NO_KEYS}, follow=True)
    first = shown_once(admin, answer)
    application = Application.objects.get()
    assert (application.user, application.name) == (alice, "Shop API")
    assert first[0] not in admin.get(f"{APPLICATIONS}{application.pk}/change/").content.decode()
    for action, works_on in (("rotate_keys", True), ("end_keys", False)):
        selected = {"action": action, "_selected_action": [application.pk], "confirmed": "yes"}
        second = shown_once(admin, admin.post(APPLICATIONS, selected, follow=True))
        now = timezone.now()
        assert (applications.find_key(application.published_id, first[0], now) is not None) is works_on
        assert applications.find_key(application.published_id, second[1], now) is not None
    assert LogEntry.objects.filter(object_id=str(application.pk), change_message__contains="at once").count() == 1
    assert admin.post(f"{APPLICATIONS}{application.pk}/delete/").status_code == 403


NO_KEYS = {"keys-TOTAL_FORMS": "0", "keys-INITIAL_FORMS": "0"}


def test_staff_cannot_grant_themselves_permissions(client: Client, alice: User) -> None:
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


def limited(client: Client, *codenames: str) -> User:
    """Signs in a member of staff with these permissions only."""
    staff = User.objects.create_user("limited", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(staff)
    return staff


def test_staff_create_keys_for_customers_and_themselves_only(client: Client, alice: User) -> None:
    staff = limited(client, "add_apikey", "view_apikey", "view_user")
    root, colleague = User.objects.create_superuser("the root"), User.objects.create_user("colleague", is_staff=True)
    for user in (root, colleague):
        assert "Select a valid choice" in new_key(client, user, can_read="on").content.decode()
    for user in (alice, staff):
        new_key(client, user, can_read="on")
    assert set(ApiKey.objects.values_list("user", flat=True)) == {alice.pk, staff.pk}


def test_staff_cannot_change_revoke_or_delete_keys_of_other_staff(client: Client, make_key: MakeKey) -> None:
    limited(client, "view_apikey", "change_apikey", "delete_apikey", "change_application", "view_application")
    root = User.objects.create_superuser("the root")
    make_key(root)
    application, _ = applications.create(root, "API", timezone.now())
    key = ApiKey.objects.get()
    change = reverse("admin:accounts_apikey_change", args=[key.pk])
    assert client.post(change, {"name": "x", "can_read": "on", "can_provision": "on"}).status_code == 403
    assert client.post(reverse("admin:accounts_apikey_delete", args=[key.pk]), {"post": "yes"}).status_code == 403
    chosen = {"_selected_action": [key.pk], "confirmed": "yes"}
    keys, apis = reverse("admin:accounts_apikey_changelist"), reverse("admin:accounts_application_changelist")
    assert client.post(keys, {"action": "revoke", **chosen}).status_code == 403
    client.post(keys, {"action": "delete_selected", **chosen, "post": "yes"})
    chosen["_selected_action"] = [application.pk]
    assert client.post(apis, {"action": "end_keys", **chosen}).status_code == 403
    key.refresh_from_db()
    assert (key.name, key.scopes, key.revoked_at) == ("a key", ["read"], None)
    assert application.keys.filter(ends_at=None).count() == 2


def test_staff_who_may_change_but_not_add_keys_cannot_change_scopes(client: Client, make_key: MakeKey) -> None:
    staff = limited(client, "view_apikey", "change_apikey")
    make_key(staff)
    key = ApiKey.objects.get()
    change = reverse("admin:accounts_apikey_change", args=[key.pk])
    given = {"name": "renamed", "can_read": "on", "can_gateway": "on", "can_ingest": "on"}
    assert client.post(change, given).status_code == 302
    key.refresh_from_db()
    assert (key.name, key.scopes) == ("renamed", ["read"])
    staff.user_permissions.add(Permission.objects.get(codename="add_apikey"))
    assert client.post(change, given).status_code == 302
    key.refresh_from_db()
    assert key.scopes == ["read", "ingest", "gateway"]


def test_the_admin_changes_passwords_and_signs_out_as_the_pages_do(client: Client, db: None) -> None:
    staff = limited(client)
    other = Client()
    other.force_login(staff)
    assert client.post("/admin/password_change/", {"old_password": "a guess"})["Location"] == reverse("password")
    assert client.post("/admin/logout/").status_code == 302
    assert other.get("/admin/").status_code == 302


GUESSES = [
    ("accounts_apikey", "key_hash__startswith"),
    ("accounts_apikey", "user__password__startswith"),
    ("accounts_user", "password__startswith"),
    ("accounts_user", "email__startswith"),
    ("accounts_user", "api_keys__key_hash__startswith"),
    ("accounts_application", "keys__key_hash__gte"),
    ("usage_alert", "sealed_secret__startswith"),
    ("usage_alert", "order__user__password__startswith"),
    ("orders_order", "user__password__regex"),
]


@pytest.mark.parametrize(("name", "lookup"), GUESSES)
@pytest.mark.parametrize("suffix", ["changelist", "csv"])
def test_a_list_refuses_undeclared_filters(admin: Client, name: str, lookup: str, suffix: str) -> None:
    address = reverse(f"admin:{name}_{suffix}")
    answers = [admin.get(address, {lookup: guess}) for guess in ("a", "zzz")]
    assert {answer.headers["Location"].rpartition("?")[2] for answer in answers} == {"e=1"}


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("accounts_user", {"is_staff__exact": "1"}),
        ("accounts_apikey", {"revoked_at__isempty": "1"}),
        ("accounts_apikey", {"can_ingest__exact": "1"}),
        ("accounts_apikey", {"user__id__exact": "1"}),
        ("orders_order", {"user__id__exact": "1"}),
        ("orders_ledgerentry", {"order__id__exact": "1", "period_date__gte": "2026-01-01", "reason__exact": "usage"}),
        ("usage_alert", {"order__id__exact": "1"}),
    ],
)
def test_declared_filters_and_links_between_lists_work(admin: Client, name: str, query: dict[str, str]) -> None:
    assert admin.get(reverse(f"admin:{name}_changelist"), query).status_code == 200


def test_unattributed_traffic_is_for_those_who_may_see_batches(client: Client, engine: Any, db: None) -> None:
    staff = limited(client)
    assert client.get("/admin/analytics/ingestbatch/unattributed/").status_code == 403
    staff.user_permissions.set(Permission.objects.filter(codename="view_ingestbatch"))
    assert client.get("/admin/analytics/ingestbatch/unattributed/").status_code == 200


def test_a_new_address_notifies_the_old_one_and_a_new_permission_ends_sessions(
    admin: Client, alice: User, sent: Callable[[], list[Any]]
) -> None:
    browser = Client()
    browser.force_login(alice)
    fields = {"username": "alice", "email": "new@example.com", "is_active": "on"}
    change = reverse("admin:accounts_user_change", args=[alice.pk])
    unsound = admin.post(change, {**fields, "email": "a@\u05d0a1.com"})
    assert "Enter a valid email address." in unsound.content.decode()
    admin.post(change, fields)
    [mail] = sent()
    assert mail.to == ["alice@example.com"]
    assert browser.get("/orders").status_code == 200
    admin.post(change, {**fields, "is_staff": "on"})
    assert browser.get("/orders").status_code == 401
