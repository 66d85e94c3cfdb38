"""Remaining traffic and its forecast, and how to connect."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from accounts.models import User
from dashboard import samples
from dashboard.overview import lasts
from fonproxy.env import Environment
from orders.models import Order, ProxyUser
from tests.analytics.helpers import engine_unavailable

ODD = """o'brien:"$HOME" \\ `id`@ü"""
AS_WRITTEN_IN: dict[str, Callable[[str], str]] = {
    "url": lambda password: quote(password, safe=""),
    "literal": lambda password: json.dumps(password)[1:-1],
}


@pytest.fixture
def proxy_user(alice: User, make_order: Callable[..., Order]) -> ProxyUser:
    return ProxyUser.objects.create(order=make_order(alice, limit=2**30), login="shop", allowed_ips=["192.0.2.7"])


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (timedelta(hours=11), "less than a day"),
        (timedelta(hours=20), "about 1 day"),
        (timedelta(days=13.4), "about 13 days"),
        (timedelta(days=104, hours=3), "about 15 weeks"),
        (timedelta(days=104, hours=4), "about 15 weeks"),
        (timedelta(days=200), "about 7 months"),
    ],
)
def test_an_estimate_is_rounded_in_words(time: timedelta, words: str) -> None:
    assert lasts(time) == words


def test_the_page_has_endpoint_login_addresses_and_samples(alice: User, proxy_user: ProxyUser, settings: Any) -> None:
    settings.PROXY_ENDPOINTS = {"*": "proxy.example.com:8000"}
    browser = Client()
    browser.force_login(alice)
    page = browser.get("/dashboard/connect").content.decode()
    for text in ("proxy.example.com:8000:shop:YOUR_PASSWORD", "192.0.2.7", 'id="sample-go"', 'id="sample-node"'):
        assert text in page
    settings.PROXY_ENDPOINTS = {"*": "proxy.example.com:8000", proxy_user.order.product.network: "own.example.com:1"}
    assert "own.example.com:1:shop" in browser.get("/dashboard/connect").content.decode()
    settings.PROXY_ENDPOINTS = {}
    assert "Your provider gives you the host and port." in browser.get("/dashboard/connect").content.decode()


def test_a_login_or_order_of_another_customer_is_not_found(alice: User, bob: User, proxy_user: ProxyUser) -> None:
    browser = Client()
    browser.force_login(alice)
    names = {"id": proxy_user.published_id, "order": proxy_user.order.published_id}
    for name, value in names.items():
        assert "shop" in browser.get("/dashboard/connect", {name: value}).content.decode()
        assert browser.get("/dashboard/connect", {name: "nonsense"}).status_code == 404
    browser.force_login(bob)
    assert "shop" not in browser.get("/dashboard/connect").content.decode()
    for name, value in names.items():
        assert browser.get("/dashboard/connect", {name: value}).status_code == 404


@pytest.mark.parametrize("login", ["shop", ODD])
def test_samples_quote_any_login(login: str) -> None:
    _curl, python, node, go = samples.programs("proxy.example.com:8000", login)
    compile(python.text, "sample", "exec")
    assert json.dumps(f"{login}:YOUR_PASSWORD", ensure_ascii=False) in node.text
    assert f'{json.dumps(login, ensure_ascii=False)}, "YOUR_PASSWORD"' in go.text
    url = urlsplit(samples.connection_strings("proxy.example.com:8000", login)[0].text)
    assert (unquote(url.username or ""), url.password, url.port) == (login, "YOUR_PASSWORD", 8000)


@pytest.mark.parametrize("login", ["shop", ODD, "50%41", "東京"])
@pytest.mark.parametrize("password", ["plainpassword", """p%41@:/?#'"\\$HOME`;&+"""])
@pytest.mark.parametrize(("number", "command"), [(0, "bash"), (1, sys.executable)])
def test_curl_and_python_samples_sign_in_with_any_credentials(
    login: str, password: str, number: int, command: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(30)
        sample = samples.programs(f"127.0.0.1:{proxy.getsockname()[1]}", login)[number]
        program = sample.text.replace("YOUR_PASSWORD", AS_WRITTEN_IN[sample.password](password))
        environment = {**os.environ, "NO_PROXY": "", "no_proxy": ""}
        with subprocess.Popen([command, "-c", program], env=environment, stderr=subprocess.DEVNULL) as process:
            connection, _ = proxy.accept()
            with connection, connection.makefile("rb") as request:
                sent = b"".join(iter(request.readline, b"\r\n")).decode()
            process.kill()
    [given] = re.findall(r"Proxy-Authorization: Basic (\S+)", sent)
    assert base64.b64decode(given).decode() == f"{login}:{password}"


def test_a_subscription_shows_bytes_left_and_links_to_the_shop(
    alice: User, make_order: Callable[..., Order], settings: Any, engine: Any
) -> None:
    order = make_order(alice, limit=2**31)
    settings.TOP_UP_URL = "https://shop.example.com/?order={order}"
    browser = Client()
    browser.force_login(alice)
    with engine_unavailable():
        page = browser.get("/dashboard").content.decode()
    assert "2.00 GB left <small>of 2 GB</small>" in page
    assert f'href="https://shop.example.com/?order={order.published_id}"' in page
    assert f"/dashboard/connect?order={order.published_id}" in page


def test_malformed_endpoint_settings_are_refused() -> None:
    given = {"E": "p.example.com:8000, mobile=[2001:db8::1]:99"}
    assert Environment(given).endpoints("E") == {"*": "p.example.com:8000", "mobile": "[2001:db8::1]:99"}
    for wrong in ("p.example.com", "http://p.example.com:80", "a b:80", "mobile=:80"):
        with pytest.raises(ImproperlyConfigured):
            Environment({"E": wrong}).endpoints("E")
