"""A billing system's side of FonProxy, by Python's standard library alone: sell, renew, stop, and bill a month.

export FONPROXY_URL=https://usage.example.com FONPROXY_KEY=fnp_…     # a key with the scope provision
python billing.py create c-1 o-1 carol@example.com 10                # customer, order, address, GB
python billing.py renew o-1 invoice-78 2027-01-31                    # also: suspend o-1, resume o-1, expire o-1
python billing.py bill 2026-11 3.50                                  # price per GB
"""

import json
import os
import sys
import time
from calendar import monthrange
from collections.abc import Callable
from http.client import HTTPResponse
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

GB = 2**30


def call(method: str, path: str, body: object = None, **query: str) -> HTTPResponse:
    """The open response. Every call may be repeated, so one that FonProxy has no time for is."""
    url = f"{os.environ['FONPROXY_URL']}/provisioning/{path}?{urlencode(query)}"
    headers = {"x-api-key": os.environ["FONPROXY_KEY"], "Content-Type": "application/json"}
    request = Request(url, json.dumps(body).encode() if body else None, headers, method=method)
    while True:
        try:
            answer: HTTPResponse = urlopen(request, timeout=600)
            return answer
        except HTTPError as refusal:
            if refusal.code not in (429, 503):
                sys.exit(f"{method} {path}: {json.load(refusal)['detail']}")
            time.sleep(int(refusal.headers.get("Retry-After", 5)))


def create(customer: str, order: str, address: str, gigabytes: str) -> None:
    """Makes customer and order, or finds them as they are; prints what goes into the welcome mail."""
    call("PUT", f"users/{quote(customer)}", {"email": address})
    limit = int(float(gigabytes) * GB)
    sold = {"user": customer, "name": f"Residential {gigabytes} GB", "proxyType": "residential-giga"}
    login = {"login": order}
    answer = json.load(
        call("PUT", f"orders/{quote(order)}", {**sold, "trafficLimitBytes": limit, "proxyUsers": [login]})
    )
    link = json.load(call("POST", f"users/{quote(customer)}/password-link"))["passwordLink"]["url"]
    print(link, *answer.get("passwords", {}).get(order, "").split())


def renew(order: str, invoice: str, until: str) -> None:
    """Begins a new period; the same invoice again changes nothing."""
    answer = json.load(call("POST", f"orders/{quote(order)}/renewals", {"reference": invoice, "expiresAt": until}))
    print(answer["order"]["bytesLeft"] / GB, "GB until", answer["order"]["expiresAt"])


def bill(month: str, price: str) -> None:
    """Prints what each customer owes for a month that is closed, and the revision that the figure has."""
    last = monthrange(*map(int, month.split("-")))[1]
    query = {"from": f"{month}-01", "to": f"{month}-{last}", "group": "user", "format": "ndjson"}
    for line in call("GET", "usage", **query):  # streamed: read row by row
        row = json.loads(line)
        if not row["closed"]:
            sys.exit(f"{month} is not closed yet.")
        if row["attributed"]:
            print(row["user"], row["revision"], f"{int(row['value']) / GB * float(price):.2f}")


COMMANDS: dict[str, Callable[..., None]] = {"create": create, "renew": renew, "bill": bill}
command, *arguments = sys.argv[1:] or ["help"]
if command in ("suspend", "resume", "expire"):
    call("POST", f"orders/{quote(arguments[0])}/{command}")
elif command in COMMANDS:
    COMMANDS[command](*arguments)
else:
    sys.exit(__doc__)
