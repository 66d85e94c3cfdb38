"""Staff import and mark addresses."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client

from accounts.models import User
from geo.models import StaticIp
from tests.geo.helpers import addresses, loaded, public_counts

PAGE = "/admin/geo/staticip/"


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root", "root@example.com", "x"))
    return client


def upload(admin: Client, text: bytes) -> str:
    answer = admin.post(f"{PAGE}import/", {"file": SimpleUploadedFile("ips.csv", text)})
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_file_is_imported_and_the_result_shown(admin: Client) -> None:
    assert "Import CSV" in admin.get(PAGE).content.decode()
    page = upload(admin, b"address,proxy_type\n10.0.0.1,server-static\n10.0.0.2,<b>\n")
    assert "1 added, 0 changed, 0 unchanged, 1 rejected." in page
    assert "has no proxy type of" in page
    assert StaticIp.objects.get().address == "10.0.0.1"
    assert LogEntry.objects.get().change_message.startswith("Imported ips.csv: 1 added, 0 changed. (from ")


@pytest.mark.parametrize("text", [b"\xff\xfe\x00", b"nothing useful\n", b" "])
def test_a_file_of_another_kind_is_refused_with_a_message(admin: Client, text: bytes) -> None:
    assert "errorlist" in upload(admin, text)


def test_importing_addresses_needs_the_permission_to_add_them(db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_user("helper", "h@example.com", "x", is_staff=True))
    assert client.get(f"{PAGE}import/").status_code == 403
    assert client.post(f"{PAGE}import/").status_code == 403


def test_addresses_marked_unavailable_are_not_counted(admin: Client) -> None:
    addresses(3, proxy_type="server-static", geoip_country="DE")
    chosen = list(StaticIp.objects.values_list("pk", flat=True)[:2])
    admin.post(PAGE, {"action": "mark_unavailable", "_selected_action": chosen, "confirmed": "yes"})
    loaded()
    assert public_counts()["server-static"]["default"]["geoip"] == {"DE": 1}
    admin.post(PAGE, {"action": "mark_available", "_selected_action": chosen, "confirmed": "yes"})
    loaded()
    assert public_counts()["server-static"]["default"]["geoip"] == {"DE": 3}


def test_an_address_in_any_form_is_stored_in_canonical_form(admin: Client) -> None:
    form = {"address": "2001:DB8:0:0::1", "proxy_type": "shared-proxy", "pool": "default", "is_available": "on"}
    admin.post(f"{PAGE}add/", form)
    assert StaticIp.objects.get().address == "2001:db8::1"


@pytest.mark.parametrize(("field", "value"), [("geoip_country", "UK"), ("maxmind_country", "ZZ")])
def test_a_form_with_a_country_that_iso_3166_does_not_assign_is_refused(field: str, value: str, admin: Client) -> None:
    form = {"address": "2001:db8::9", "proxy_type": "shared-proxy", "pool": "default", field: value}
    page = admin.post(f"{PAGE}add/", form)
    assert page.status_code == 200
    assert field in page.context["adminform"].form.errors
    assert not StaticIp.objects.exists()


def test_the_list_takes_few_queries_however_long_it_is(admin: Client, django_assert_max_num_queries: Any) -> None:
    addresses(300, proxy_type="server-static", geoip_country="DE")
    with django_assert_max_num_queries(8):
        assert admin.get(PAGE).status_code == 200
    with django_assert_max_num_queries(8):
        assert admin.get(f"{PAGE}?q=10.0.").status_code == 200


def test_a_search_by_the_beginning_of_an_address_uses_an_index(db: None) -> None:
    found = StaticIp.objects.filter(address__startswith="10.0.3.")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")  # it would skip this for so few rows
    assert "static_ips_address_prefix" in found.explain()
