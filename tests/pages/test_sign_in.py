"""Signing in, signing out, and resetting a forgotten password."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.pages.conftest import Visit, sign_in
from tests.serving import Server
from tests.waiting import wait_for


def test_an_anonymous_visitor_signs_in_and_reaches_the_requested_page(visit: Visit, server: Server) -> None:
    page = visit("/dashboard/explore?range=30d", who=None)
    expect(page).to_have_url(re.compile("/sign-in"))
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("Wrong user name or password. Check both and try again.")
    page.get_by_label("Password").fill(server.keys["PASSWORD"])
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile(r"/dashboard/explore\?range=30d$"))


def test_errors_beside_fields_are_marked(visit: Visit) -> None:
    page = visit("/sign-in", who=None)
    page.locator("form").evaluate("form => { form.noValidate = true; }")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".errorlist").first).to_have_text("This field is required.")
    expect(page.locator(".errorlist").first).to_have_css("color", "rgb(179, 38, 30)")
    expect(page.get_by_role("alert")).to_have_text("Correct the marked fields.")


def test_signing_out_ends_the_session(visit: Visit, server: Server) -> None:
    page = visit("/sign-in", who=None)
    sign_in(page, "carol", server)
    page.wait_for_load_state("networkidle")  # a panel that loads when the session ends gets a 401
    page.get_by_role("button", name="Account menu of carol").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in"))
    page.goto("/dashboard")
    expect(page).to_have_url(re.compile("/sign-in"))


def test_staff_start_in_the_console(visit: Visit, server: Server) -> None:
    page = visit("/sign-in", who=None)
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(server.keys["PASSWORD"])
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile("/admin/$"))


def test_a_forgotten_password_is_replaced_by_a_mailed_link(visit: Visit, server: Server) -> None:
    page = visit("/password-reset", who=None)
    page.get_by_label("Email").fill("dave@example.com")
    page.get_by_role("button", name="Send link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Check your inbox")
    page.goto(mailed_link(server).replace("http://127.0.0.1:8000", server.url))
    page.get_by_label("New password:", exact=True).fill("a horse that is correct")
    page.get_by_label("New password confirmation").fill("a horse that is correct")
    page.get_by_role("button", name="Set password").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Password changed")
    page.goto("/sign-in")
    page.get_by_label("Username").fill("dave")
    page.get_by_label("Password").fill("a horse that is correct")
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile("/dashboard$"))


def mailed_link(server: Server) -> str:
    """The link in Dave's mail, among other mails such as those that welcome a customer."""

    def links() -> list[str]:
        mails = (file.read_text() for file in (server.data_dir / "mail").glob("*"))
        return [
            found[0]
            for mail in mails
            if "To: dave@" in mail and (found := re.search(r"http://\S+/password-reset/\S+", mail))
        ]

    wait_for(links)
    return links()[0]
