"""First paint of the overview beside an empty page of the same frame; weight, requests and layout shift of every page.

Rounds of the two in turn, each in a fresh window without a cache; medians are compared. Weights are of everything the
page loads, with each answer as gzip would carry it, which the proxy in front does. Layout shift is Chromium's, summed
until all panels are shown, on a desktop and on a phone.
"""

from __future__ import annotations

import argparse
import gzip
from typing import Final, NamedTuple

from playwright.sync_api import Browser, Response, StorageState, ViewportSize, expect

from bench.browser import DESKTOP, PHONE, chromium, session, window
from bench.support import RatioTarget, ServedDemo, demo, median, print_table

ROUNDS: Final = 9
PAINT: Final = RatioTarget(most=1000)
WEIGHT: Final = RatioTarget(most=150)
SHIFT: Final = RatioTarget(most=0.1)
OVERVIEW: Final = "/dashboard"
EMPTY: Final = "/password-reset/sent"
PAGES: Final = (
    OVERVIEW,
    *(
        f"{OVERVIEW}/{name}"
        for name in (
            "realtime",
            "explore",
            "logs",
            "ledger",
            "alerts",
            "alerts/new",
            "proxy-users",
            "keys",
            "applications",
            "account",
            "team",
            "shares",
            "connect",
        )
    ),
    "/docs/guide",
    "/proxies",
)
SHIFTS: Final = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


class Measured(NamedTuple):
    """Milliseconds to first paint and until all panels are shown, requests, compressed kB, and layout shift."""

    paint: float
    ready: float
    requests: int
    weight: float
    shift: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = arguments.parse_args().rounds
    with demo() as running, chromium() as browser:
        cookies = session(browser, running, "alice")
        found: dict[str, list[Measured]] = {path: [] for path in (OVERVIEW, EMPTY)}
        for _ in range(rounds):
            for path, measured in found.items():
                measured.append(_measure(browser, running, cookies, path, DESKTOP))
        every = {path: [_measure(browser, running, cookies, path, size) for size in (DESKTOP, PHONE)] for path in PAGES}
    rows = []
    for path, measured in found.items():
        paint, ready = (median([one[number] for one in measured]) for number in (0, 1))
        rows.append([path, f"{paint:.0f} ms", f"{ready:.0f} ms"])
    print_table(["page", "first paint", "all panels shown"], rows)
    rows = [
        [path, str(desktop.requests), f"{desktop.weight:.0f} kB", f"{desktop.shift:.3f}", f"{phone.shift:.3f}"]
        for path, (desktop, phone) in every.items()
    ]
    print_table(["page", "requests", "compressed", "shift on a desktop", "on a phone"], rows)
    paint, empty = (median([one.paint for one in found[path]]) for path in (OVERVIEW, EMPTY))
    print(f"first paint: {paint / empty:.2f} of the empty page's; {PAINT.verdict(paint)} ms")
    print(f"heaviest: {WEIGHT.verdict(max(one.weight for sizes in every.values() for one in sizes))} kB")
    print(f"largest shift: {SHIFT.verdict(max(one.shift for sizes in every.values() for one in sizes))}")


def _measure(browser: Browser, demo: ServedDemo, cookies: StorageState, path: str, size: ViewportSize) -> Measured:
    with window(browser, demo, cookies, size) as context:
        context.add_init_script(SHIFTS)
        page = context.new_page()
        answers: list[Response] = []
        page.on("response", lambda answer: answers.append(answer))
        page.goto(path, wait_until="load")
        expect(page.locator(".panel[aria-busy=true]")).to_have_count(0)
        ready = page.evaluate("performance.now()")
        page.wait_for_timeout(500)  # charts are drawn in the next frame
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        shift = page.evaluate("window.shifted")
        weight = sum(len(gzip.compress(answer.body())) for answer in list(answers) if answer.ok)
        return Measured(float(paint), float(ready), len(answers), weight / 1000, float(shift))


if __name__ == "__main__":
    main()
