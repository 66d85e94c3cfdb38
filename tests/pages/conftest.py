"""A browser that looks at a served FonProxy as a person does, and checks what a person would not see.

Tests of served pages have the marker ``pages`` and a target of their own; ``make test`` runs those of ``SMOKE``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, StorageState, ViewportSize, expect

from tests.browser import launched
from tests.serving import Server, row, serving
from tests.waiting import wait_for

DESKTOP, PHONE = ViewportSize(width=1440, height=900), ViewportSize(width=390, height=844)
ZONE = "Europe/Berlin"
WAIT_MS = 60_000  # for a busy machine
USAGE_LINES = "/residential_ledger/search?residential_ledger_reason=usage"

SMOKE = "test_smoke.py"
HERE = Path(__file__).parent

expect.set_options(timeout=WAIT_MS)

Visit = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """pytest calls this with the tests of all directories."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if item.path.parent == HERE and item.path.name != SMOKE and "server" in fixtures:
            item.add_marker("pages")


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    """A server with three days of alice's traffic; bob has none."""
    with serving(FONPROXY_THROTTLE_TOKEN="1000/min", FONPROXY_THROTTLE_READ="10000/min") as running:
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        rows = [
            row(
                ts=f"{now - timedelta(hours=hour):%Y-%m-%d %H:%M:%S}",
                domain=f"site-{hour % 40:02}.example",
                count=10,
                bytes_sent=2**20,
                bytes_received=2**24,
                country="DE" if hour % 3 else "US",
                **({"error": "ECONNREFUSED", "error_count": 2} if hour % 5 == 0 else {}),
            )
            for hour in range(72)
        ]
        assert running.push(*rows).status == 204
        wait_for(lambda: running.get(USAGE_LINES).json["item_count"])  # posted by a job, a moment after the push
        yield running


@pytest.fixture(scope="package")
def browser(django_db_setup: None) -> Iterator[Browser]:
    """Sets up the database first: Django cannot once Playwright's event loop runs in this thread."""
    with launched() as browser:
        yield browser


@pytest.fixture(scope="package")
def sessions(browser: Browser, server: Server) -> Callable[[str], StorageState]:
    """The session cookies of each user, who signs in once."""

    @cache
    def of(who: str) -> StorageState:
        with browser.new_context(base_url=server.url) as context:
            sign_in(context.new_page(), who, server)
            return context.storage_state()

    return of


def sign_in(page: Page, who: str, server: Server, *, then: str = "/dashboard") -> None:
    page.goto(f"/sign-in?next={then}")
    page.get_by_label("Username").fill(who)
    page.get_by_label("Password").fill(server.keys["PASSWORD"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**{then}")


@pytest.fixture
def visit(browser: Browser, server: Server, sessions: Callable[[str], StorageState]) -> Iterator[Visit]:
    """Opens a path in a new window, signed in as a user, or as nobody if ``None``.

    With ``failing`` the browser may report that it could not load something; with ``is_examined`` axe may add styles
    that the page's own policy forbids. At the end no page may have had an error in its console, or have requested
    anything from another host.
    """
    problems: list[str] = []
    contexts = []

    def open_page(
        path: str,
        who: str | None = "alice",
        size: ViewportSize = DESKTOP,
        theme: str = "light",
        *,
        failing: bool = False,
        is_examined: bool = False,
        is_scripted: bool = True,
        locale: str = "en-US",
    ) -> Page:
        context = browser.new_context(
            storage_state=sessions(who) if who else None,
            viewport=size,
            color_scheme=theme,  # type: ignore[arg-type]  # light or dark
            base_url=server.url,
            timezone_id=ZONE,
            permissions=["clipboard-read", "clipboard-write"],
            accept_downloads=True,
            bypass_csp=is_examined,
            java_script_enabled=is_scripted,
            locale=locale,
        )
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.on("console", lambda message: _mind(message, failing, problems))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: _mind_host(request.url, server.url, problems))
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            page.unroute_all(behavior="ignoreErrors")  # a page may be requesting something right now
        context.close()
    assert problems == []


def _mind(message: ConsoleMessage, failing: bool, problems: list[str]) -> None:
    if message.type == "error" and not (failing and message.text.startswith("Failed to load resource")):
        problems.append(message.text)


def _mind_host(url: str, home: str, problems: list[str]) -> None:
    if not url.startswith((f"{home}/", "data:", "blob:")):
        problems.append(f"asked {url}")
