"""First paint of the overview with the demo's data beside an empty page of the same frame, and what the page weighs.

Rounds in turn, each in a fresh window without a cache; medians are compared. Weights are of everything the page loads,
with each answer as gzip would carry it, which the proxy in front does.
"""

from __future__ import annotations

import argparse
import gzip
from typing import Final

from playwright.sync_api import Browser, Response, StorageState, expect

from bench.browser import chromium, session, window
from bench.support import RatioTarget, ServedDemo, demo, median, print_table

ROUNDS: Final = 9
PAINT: Final = RatioTarget(most=1000)
WEIGHT: Final = RatioTarget(most=300)
OVERVIEW: Final = "/dashboard"
EMPTY: Final = "/password-reset/sent"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = arguments.parse_args().rounds
    with demo() as running, chromium() as browser:
        cookies = session(browser, running, "alice")
        found = {path: [] for path in (OVERVIEW, EMPTY)}  # type: dict[str, list[tuple[float, float, int, float]]]
        for _ in range(rounds):
            for path, measured in found.items():
                measured.append(_measure(browser, running, cookies, path))
    rows = []
    for path, measured in found.items():
        paint, ready, requests, weight = (median(values) for values in zip(*measured, strict=True))
        rows.append([path, f"{paint:.0f} ms", f"{ready:.0f} ms", f"{requests:.0f}", f"{weight:.0f} kB"])
    print_table(["page", "first paint", "all panels shown", "requests", "compressed"], rows)
    paint, empty = (median([one[0] for one in found[path]]) for path in (OVERVIEW, EMPTY))
    print(f"first paint: {paint / empty:.2f} of the empty page's; {PAINT.verdict(paint)} ms")
    print(f"weight: {WEIGHT.verdict(median([one[3] for one in found[OVERVIEW]]))} kB")


def _measure(browser: Browser, demo: ServedDemo, cookies: StorageState, path: str) -> tuple[float, float, int, float]:
    """Milliseconds to the first paint and until nothing is asked for any more, answers, and their kB compressed."""
    with window(browser, demo, cookies) as context:
        page = context.new_page()
        answers: list[Response] = []
        page.on("response", lambda answer: answers.append(answer))
        page.goto(path, wait_until="load")
        expect(page.locator(".panel[aria-busy=true]")).to_have_count(0)
        ready = page.evaluate("performance.now()")
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        weight = sum(len(gzip.compress(answer.body())) for answer in answers if answer.ok)
        return float(paint), float(ready), len(answers), weight / 1000


if __name__ == "__main__":
    main()
