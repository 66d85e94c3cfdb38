"""Numbers and dates of the console as the member of staff has chosen."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import date, datetime, timedelta

import pytest
from django import forms
from django.core.exceptions import ValidationError
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone, translation

from accounts.models import User
from fonproxy.clickhouse.client import Client
from fonproxy.formats import LOCALES
from orders.models import Order

pytestmark = pytest.mark.django_db
EXPIRES = (timezone.now() + timedelta(hours=20)).replace(second=0, microsecond=0)
MakeOrder = Callable[..., Order]


@pytest.fixture
def german(clean_engine: Client, browser: Browser) -> Browser:
    """A superuser's browser with Germany's formats."""
    User.objects.filter(username="root").update(locale="en-de")
    return browser


@pytest.fixture
def order(alice: User, make_order: MakeOrder) -> Order:
    order = make_order(alice, limit=5 * 2**29)
    Order.objects.filter(pk=order.pk).update(expires_at=EXPIRES)
    return order


@pytest.mark.parametrize("path", ["outlook/?show=ending", "orders/order/", "orders/order/{pk}/step/top-up/"])
def test_console_pages_use_the_formats_of_the_member_of_staff(german: Browser, order: Order, path: str) -> None:
    text = german.get("/admin/" + path.format(pk=order.pk)).content.decode()
    assert f"{EXPIRES:%d.%m.%Y %H:%M}" in text
    assert f"{EXPIRES:%Y-%m-%d %H:%M}" not in text


def test_sizes_use_the_formats_of_the_member_of_staff(german: Browser, order: Order) -> None:
    assert "2,50 GB" in german.get("/admin/outlook/?show=ending").content.decode()


def test_formats_of_one_member_of_staff_do_not_reach_another(german: Browser, order: Order) -> None:
    german.get("/admin/outlook/?show=ending")
    other = Browser()
    other.force_login(User.objects.create_superuser("second"))
    assert "2.50 GB" in other.get("/admin/outlook/?show=ending").content.decode()


def test_files_of_the_console_have_one_form_for_everybody(german: Browser, order: Order) -> None:
    text = german.get("/admin/outlook/?show=ending&format=csv").getvalue().decode("utf-8-sig")
    [row] = csv.DictReader(io.StringIO(text))
    assert row["left"] == "2.50 GB"
    assert datetime.fromisoformat(row["expires_at"]) == EXPIRES
    text = german.get(reverse("admin:orders_order_csv")).getvalue().decode("utf-8-sig")
    [row] = csv.DictReader(io.StringIO(text))
    assert (row["limit_bytes"], datetime.fromisoformat(row["expires_at"])) == (str(5 * 2**29), EXPIRES)


@pytest.mark.parametrize("locale", LOCALES)
def test_forms_take_and_fill_in_dates_as_year_month_day(locale: str) -> None:
    with translation.override(locale):
        assert forms.DateInput().format_value(date(2026, 4, 3)) == "2026-04-03"
        assert forms.DateField().clean("2026-04-03") == date(2026, 4, 3)
        with pytest.raises(ValidationError):
            forms.DateField().clean("03/04/2026")  # March or April
