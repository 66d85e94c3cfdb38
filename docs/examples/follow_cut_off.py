"""Keeps the file ``stopped``: the logins that a gateway must refuse, one per line.

FONPROXY_URL is the server, FONPROXY_KEY an API key with the scope ``gateway``.
"""

import json
import os
import time
import urllib.request
from pathlib import Path
from typing import Any

URL, KEY = os.environ["FONPROXY_URL"], os.environ["FONPROXY_KEY"]
FILE = Path("stopped")


def ask(cursor: str) -> Any:
    url = f"{URL}/provisioning/exhausted?since={cursor}"
    request = urllib.request.Request(url, headers={"x-api-key": KEY})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


cursor = "0"  # after a start it reads everything once: nothing else needs to be kept
stopped: set[str] = set()
while True:
    try:
        page = ask(cursor)
    except OSError as problem:  # who was stopped stays stopped
        print(f"FonProxy cannot be asked: {problem}")
        time.sleep(10)
        continue
    for change in page["changes"]:
        if change["state"] == "active":
            stopped.difference_update(change["proxyUsers"])
        else:
            stopped.update(change["proxyUsers"])
    cursor = page["cursor"]
    if not page["hasMore"]:
        new = FILE.with_suffix(".new")
        new.write_text("".join(f"{login}\n" for login in sorted(stopped)))
        new.replace(FILE)  # in one step: the gateway never reads half of it
        time.sleep(2)
