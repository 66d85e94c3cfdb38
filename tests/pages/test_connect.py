"""Connect: strings and samples, filled in with the customer's password."""

from __future__ import annotations

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.pages.conftest import DESKTOP, PHONE, Visit

PASSWORD = """p%41@:/?#'"\\$HOME`;&+"""
IN_URL = "p%2541%40%3A%2F%3F%23%27%22%5C%24HOME%60%3B%26%2B"
IN_LITERAL = """p%41@:/?#'\\"\\\\$HOME`;&+"""


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_an_entered_password_is_written_as_each_sample_needs_it_and_not_sent(visit: Visit, size: ViewportSize) -> None:
    page = visit("/dashboard/connect", size=size)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url + (request.post_data or "")))
    password = page.get_by_label("Or enter it here")
    password.fill(PASSWORD)
    expect(page.locator("#sample-curl")).to_contain_text(f":{IN_URL}' https://example.com/")
    for language in ("python", "node", "go"):
        expect(page.locator(f"#sample-{language}")).to_contain_text(f'{IN_LITERAL}"')
    expect(page.locator("#string-url")).to_contain_text(f":{IN_URL}@")
    expect(page.locator("#string-list")).to_contain_text(f":{PASSWORD}")
    page.get_by_role("button", name="Copy as URL").click()
    assert f":{IN_URL}@" in page.evaluate("navigator.clipboard.readText()")
    password.fill("")
    expect(page.locator("#sample-curl")).to_contain_text(":YOUR_PASSWORD'")
    assert not any("HOME" in text for text in sent)
