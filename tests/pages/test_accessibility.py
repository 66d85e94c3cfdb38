"""axe finds no serious fault on any page, in either theme; and the vendored files are the published ones."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import pytest
from django.conf import settings
from playwright.sync_api import Page

from tests.pages.conftest import PHONE, Visit

AXE: Final = (settings.BASE_DIR / "tests/vendor/axe-core-4.14.1/axe.min.js").read_text()
PAGES: Final = (
    ("/sign-in", None),
    ("/password-reset", None),
    ("/password-reset/sent", None),
    ("/password-reset/MQ/used", None),
    ("/dashboard/nothing-here", None),
    ("/alerts/unsubscribe/cut-off", None),
    ("/dashboard", "alice"),
    ("/dashboard", "carol"),
    ("/dashboard/realtime", "alice"),
    ("/dashboard/explore", "alice"),
    ("/dashboard/alerts", "alice"),
    ("/dashboard/alerts/new", "alice"),
    ("/dashboard/keys", "alice"),
    ("/dashboard/account", "alice"),
    ("/dashboard/team", "alice"),
    ("/join/no-invitation", None),
    ("/dashboard/shares", "alice"),
    ("/dashboard/shares/new", "alice"),
    ("/shared/no-link", None),
    ("/dashboard/connect", "alice"),
    ("/dashboard/account/email", "alice"),
    ("/dashboard/account/password", "alice"),
    ("/dashboard/account/factor", "alice"),
    ("/confirm", "alice"),
    ("/dashboard/applications", "alice"),
    ("/dashboard/logs", "alice"),
    ("/dashboard/ledger", "alice"),
    ("/dashboard/proxy-users", "alice"),
    ("/proxies", None),
    ("/docs/guide", None),
)


LISTS: Final = (
    "",
    "account",
    "alerts",
    "applications",
    "explore",
    "keys",
    "ledger",
    "logs",
    "proxy-users",
    "realtime",
    "shares",
    "team",
)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("path", "who"), PAGES)
def test_no_page_has_a_serious_accessibility_violation(visit: Visit, path: str, who: str | None, theme: str) -> None:
    page = visit(path, who, theme=theme, failing=who is None)
    page.wait_for_load_state("networkidle")
    assert faults(page) == []
    page.set_viewport_size(PHONE)
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("path", LISTS)
def test_a_list_on_a_phone_is_read_without_scrolling_sideways(visit: Visit, path: str) -> None:
    page = visit(f"/dashboard/{path}".rstrip("/"), size=PHONE)
    page.wait_for_load_state("networkidle")
    lists = page.locator(".scroll")
    for place in range(lists.count()):
        assert lists.nth(place).evaluate("list => list.scrollWidth <= list.clientWidth")


def faults(page: Page) -> list[tuple[str, Any]]:
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE)  # the debugger's way in, to which the page's own policy does not apply
    found = page.evaluate("axe.run()")["violations"]
    return [
        (fault["id"], [node["html"] for node in fault["nodes"]])
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("base", ["fonproxy/static/vendor", "tests/vendor"])
def test_vendored_files_equal_the_published_ones(base: str) -> None:
    directory = Path(settings.BASE_DIR) / base
    entries = json.loads((directory / "manifest.json").read_text())
    kept = {
        f"{entry['name']}-{entry['version']}/{name}": sha for entry in entries for name, sha in entry["sha256"].items()
    }
    there = {
        str(file.relative_to(directory)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in directory.glob("*/*")
    }
    assert there == kept
