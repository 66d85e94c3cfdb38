"""Debian's Chromium, used as the demo's customers and staff use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, BrowserContext, StorageState, ViewportSize, sync_playwright

from bench.support import ServedDemo

CHROMIUM: Final = "/usr/bin/chromium"
DESKTOP: Final = ViewportSize(width=1280, height=860)
PHONE: Final = ViewportSize(width=390, height=844)


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def session(browser: Browser, demo: ServedDemo, who: str) -> StorageState:
    """The session cookies of a user who has signed in."""
    with browser.new_context(base_url=demo.url) as context:
        page = context.new_page()
        page.goto("/sign-in")
        page.get_by_label("Username").fill(who)
        page.get_by_label("Password").fill(demo.password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(lambda address: "/sign-in" not in address)
        page.wait_for_load_state("networkidle")
        return context.storage_state()


def window(
    browser: Browser,
    demo: ServedDemo,
    cookies: StorageState | None,
    size: ViewportSize = DESKTOP,
    *,
    is_dark: bool = False,
) -> BrowserContext:
    return browser.new_context(
        base_url=demo.url, storage_state=cookies, viewport=size, color_scheme="dark" if is_dark else "light"
    )
