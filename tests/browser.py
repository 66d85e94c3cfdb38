"""The browser of the page tests: Chromium, if possible headless."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

# The headless shell does not draw a browser's own windows, and needs a third less CPU time for the same pages.
PROGRAMS = ("chromium-headless-shell", "chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


@contextmanager
def launched() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        assert "CI" not in os.environ, "Chromium is missing."
        pytest.skip("Chromium is not installed here.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()
