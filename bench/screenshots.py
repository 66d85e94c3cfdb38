"""Screenshots of every page for the documentation: the demo's alice, and a member of staff in the console."""

from __future__ import annotations

from typing import Final

from bench.browser import DESKTOP, PHONE, chromium, session, window
from bench.support import ROOT, demo

WHERE: Final = ROOT / "docs" / "screenshots"
# File name: path, user, dark mode, phone.
PICTURES: Final = {
    "sign-in": ("/sign-in", None, False, False),
    "overview": ("/dashboard", "alice", False, False),
    "overview-dark": ("/dashboard", "alice", True, False),
    "overview-phone": ("/dashboard", "alice", False, True),
    "explore": ("/dashboard/explore", "alice", False, False),
    "logs": ("/dashboard/logs", "alice", False, False),
    "ledger": ("/dashboard/ledger", "alice", False, False),
    "alerts": ("/dashboard/alerts", "alice", False, False),
    "keys": ("/dashboard/keys", "alice", False, False),
    "application": ("/dashboard/applications", "alice", False, False),
    "proxies": ("/proxies", None, False, False),
    "console": ("/admin/", "admin", False, False),
    "order": ("/admin/orders/order/", "admin", False, False),
}


def main() -> None:
    WHERE.mkdir(exist_ok=True)
    with demo() as running, chromium() as browser:
        sessions = {who: session(browser, running, who) for who in ("alice", "admin")}
        for name, (path, who, is_dark, is_phone) in PICTURES.items():
            cookies = sessions[who] if who else None
            with window(browser, running, cookies, PHONE if is_phone else DESKTOP, is_dark=is_dark) as context:
                page = context.new_page()
                page.goto(path)
                if name == "application":
                    page.locator("main td a").first.click()
                page.wait_for_load_state("networkidle")
                page.wait_for_timeout(500)  # charts are drawn in the next frame
                page.screenshot(path=WHERE / f"{name}.png")
                print(f"docs/screenshots/{name}.png")


if __name__ == "__main__":
    main()
