"""Rules for every page: no foreign code, CSRF tokens in forms, nothing revealed to strangers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from accounts.models import User
from tests.accounts.helpers import PASSWORD
from tests.analytics.helpers import engine_unavailable

TEMPLATES = sorted(settings.BASE_DIR.glob("templates/**/*.html"))
# Authorized by a signed link, for mail programs without a cookie.
WITHOUT_SESSION = {"unsubscribe.html"}
JSON: dict[str, Any] = {"/sign-in": {}, "/auth/token": {"content_type": "application/json"}}


@pytest.mark.parametrize("path", ["/sign-in", "/docs", "/geo/counts", "/healthz", "/nothing", "/dashboard/x"])
def test_every_answer_allows_our_own_files_only(client: Client, db: None, path: str) -> None:
    policy = client.get(path)["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_form_that_changes_something_carries_its_token_and_no_template_has_inline_code(template: Any) -> None:
    text = template.read_text()
    if "emails" not in template.parts:
        assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", text) == []
    for form in re.findall(r'<form[^>]*method="post".*?</form>', text, re.DOTALL | re.IGNORECASE):
        assert "{% csrf_token %}" in form or template.name in WITHOUT_SESSION


def test_a_form_sent_from_elsewhere_changes_nothing_and_is_answered_with_a_page(alice: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    answer = browser.post("/sign-out")
    assert answer.status_code == 403
    assert b"Access denied" in answer.content
    assert browser.get("/dashboard/explore").status_code == 200


def test_password_attempts_are_throttled(client: Client, alice: User) -> None:
    cache.clear()
    tried = [client.post("/sign-in", {"username": "Alice", "password": "wrong"}) for _ in range(11)]
    assert [answer.status_code for answer in tried] == [200] * 10 + [429]
    assert int(tried[-1]["Retry-After"]) > 0
    assert client.post("/sign-in", {"username": "alice", "password": PASSWORD}).status_code == 429


@pytest.mark.parametrize("path", ["/sign-in", "/auth/token"])
def test_another_spelling_of_a_name_gives_no_further_attempts(client: Client, alice: User, path: str) -> None:
    cache.clear()
    names = ["alice", " alice", "alice  ", "ALICE", "\uff41lice"] * 2 + ["\talice"]
    tried = [client.post(path, {"username": name, "password": "wrong"}, **JSON[path]) for name in names]
    assert [answer.status_code for answer in tried][-1] == 429


def test_password_reset_mails_are_throttled_by_address(client: Client, alice: User) -> None:
    cache.clear()
    asked = [
        client.post("/password-reset", {"email": "alice@example.com", "username": f"u{number}"}) for number in range(11)
    ]
    assert asked[-1].status_code == 429


def test_a_refused_form_shows_its_error_once_above_the_fields(client: Client, alice: User) -> None:
    page = client.post("/sign-in", {"username": "alice", "password": "wrong"}).content.decode()
    assert page.count('role="alert"') == 1
    assert '<p class="message error" role="alert">Wrong user name or password. Check both and try again.</p>' in page
    assert "case-sensitive" not in page
    client.force_login(alice)
    page = client.post("/confirm", {"password": "wrong"}).content.decode()
    assert page.count("Wrong password or code. Try again.") == 1
    assert "Correct the marked fields." not in page


def test_staff_sign_in_on_the_customers_page(client: Client, alice: User, engine: Any) -> None:
    assert client.get("/admin/", follow=True).redirect_chain[-1][0] == "/sign-in?next=%2Fadmin%2F"
    client.force_login(alice)
    assert client.get("/admin/", follow=True).redirect_chain[-1][0] == "/dashboard"
    assert client.get("/sign-in?next=/sign-in")["Location"] == "/dashboard"


def test_secret_links_are_not_logged(client: Client, alice: User, caplog: pytest.LogCaptureFixture) -> None:
    client.get("/password-reset/MQ/c0ffee-secret")
    client.get("/alerts/unsubscribe/c0ffee-secret")
    assert "password-reset/<uidb64>/<token> 200" in caplog.text
    assert "c0ffee" not in caplog.text


def test_a_malformed_session_cookie_is_anonymous(client: Client, db: None) -> None:
    client.cookies["sessionid"] = "\0abcdefghijklmnop"
    assert client.get("/dashboard").status_code == 302


def test_private_pages_are_not_cached(client: Client, alice: User, engine: Any) -> None:
    assert client.get("/password-reset")["Cache-Control"] == "private, no-store"
    client.force_login(alice)
    assert "no-store" in client.get("/dashboard")["Cache-Control"]


@pytest.mark.parametrize("address", ["alice@example.com", "nobody@example.com"])
def test_a_password_reset_does_not_reveal_who_has_an_account(client: Client, alice: User, address: str) -> None:
    answer = client.post("/password-reset", {"email": address}, follow=True)
    assert answer.redirect_chain == [("/password-reset/sent", 302)]


def test_signing_in_never_redirects_to_another_site(client: Client, alice: User) -> None:
    data = {"username": "alice", "password": PASSWORD, "next": "https://elsewhere.example/"}
    assert client.post("/sign-in", data)["Location"] == "/dashboard"


def test_the_overview_shows_the_balance_while_the_engine_is_unavailable(
    client: Client, alice: User, make_order: Any, engine: Any
) -> None:
    make_order(alice, limit=2**30)
    client.force_login(alice)
    with engine_unavailable():
        answer = client.get("/dashboard")
    assert answer.status_code == 200
    assert "1.00 GB left" in answer.content.decode()


def test_an_unknown_address_is_answered_with_a_page(client: Client, alice: User) -> None:
    client.force_login(alice)
    answer = client.get("/dashboard/nothing")
    assert answer.status_code == 404
    assert "Page not found" in answer.content.decode()
    assert answer["X-Request-Id"] in answer.content.decode()


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    "path", ["/nothing", "/analytics/nothing", "/applications/nothing", "/1.0/public/user/nothing"]
)
def test_a_browser_gets_a_page_for_a_404_of_any_path_and_other_clients_get_json(
    client: Client, alice: User, path: str
) -> None:
    client.force_login(alice)
    page = client.get(path, headers={"accept": BROWSER})
    assert (page.status_code, "Page not found" in page.content.decode()) == (404, True)
    for accept in ("application/json", "*/*"):
        answer = client.get(path, headers={"accept": accept})
        assert (answer.status_code, answer["Content-Type"]) == (404, "application/json")


def test_staff_in_the_admin_get_a_page_for_a_404(client: Client, staff: User) -> None:
    client.force_login(staff)
    answer = client.get("/admin/nothing/", headers={"accept": BROWSER})
    assert (answer.status_code, "Page not found" in answer.content.decode()) == (404, True)


@pytest.mark.parametrize("path", ["/dashboard/keys", "/dashboard/account/factor"])
def test_a_change_while_staff_view_a_customer_is_refused_with_advice(
    client: Client, alice: User, staff: User, path: str
) -> None:
    staff.user_permissions.set([Permission.objects.get(codename="view_user")])
    client.force_login(staff)
    client.post(reverse("admin:accounts_user_view_as", args=[alice.pk]))
    answer = client.post(path, {"name": "not mine"})
    assert answer.status_code == 403
    assert "Stop viewing first." in answer.content.decode()


def test_the_overview_defines_successful_requests(client: Client, alice: User, engine: Any) -> None:
    client.force_login(alice)
    with engine_unavailable():
        page = client.get("/dashboard").content.decode()
    assert "Successful requests are those without a proxy error" in page
