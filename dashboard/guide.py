"""The guide for API users: keys, conventions and samples, and every operation by audience."""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView

from accounts.models import Scope
from dashboard.pages import ReaderPage
from dashboard.samples import CodeSample
from fonproxy.api.docs import description

METHODS: Final = ("get", "post", "put", "patch", "delete")
# The first prefix that matches a path decides its audience; all others are for customers.
AUDIENCES: Final[dict[str, tuple[Promise, tuple[str, ...]]]] = {
    "staff": (_("Staff"), ("/provisioning/origins", "/provisioning/login-clients")),
    "billing": (_("Billing systems"), ("/provisioning",)),
    "gateways": (_("Gateways"), ("/gateway", "/analytics/ingest", "/1.0/public/user/log/ingest")),
    "customers": (_("Customers"), ("/",)),
}
SCOPES: Final = (
    (Scope.READ, _("read what the account owns"), _("the account")),
    (Scope.WRITE, _("also change alerts and proxy users"), _("the account")),
    (Scope.INGEST, _("push traffic"), _("staff")),
    (Scope.GATEWAY, _("authorize logins, report connections, follow the cut-off"), _("staff")),
    (Scope.PROVISION, _("manage customers and orders"), _("staff")),
    (Scope.METRICS, _("read metrics"), _("staff")),
)


class Operation(NamedTuple):
    method: str
    path: str
    summary: str


class Audience(NamedTuple):
    id: str
    name: Promise
    operations: list[Operation]


@cache
def audiences() -> list[Audience]:
    """Every operation of the description, customers' first."""
    found: dict[str, list[Operation]] = {name: [] for name in AUDIENCES}
    paths = description()["paths"]
    for path, methods in paths.items():
        who = next(name for name, (_label, starts) in AUDIENCES.items() if path.startswith(starts))
        for method in METHODS:
            if method in methods:
                found[who].append(Operation(method.upper(), path, methods[method]["summary"]))
    return [Audience(name, AUDIENCES[name][0], found[name]) for name in reversed(AUDIENCES)]


def samples(base: str) -> list[CodeSample]:
    """The same read in five languages."""
    path = "/api/v1/usage?period=month"
    python = f"""# pip install ./clients/python
from fonproxy_client import FonProxyClient

client = FonProxyClient("{base}", "YOUR_API_KEY")
print(client.usage("month")["total"]["gb_used"])"""
    node = f"""const response = await fetch("{base}{path}", {{
  headers: {{ "x-api-key": process.env.FONPROXY_API_KEY }},
}});
if (!response.ok) throw new Error(await response.text());
console.log((await response.json()).data.total);"""
    go = f"""package main

import (
	"io"
	"log"
	"net/http"
	"os"
)

func main() {{
	request, _ := http.NewRequest("GET", "{base}{path}", nil)
	request.Header.Set("x-api-key", os.Getenv("FONPROXY_API_KEY"))
	response, err := http.DefaultClient.Do(request)
	if err != nil {{
		log.Fatal(err)
	}}
	defer response.Body.Close()
	io.Copy(os.Stdout, response.Body)
}}"""
    php = f"""<?php
$context = stream_context_create(["http" => ["header" => "x-api-key: " . getenv("FONPROXY_API_KEY")]]);
$answer = json_decode(file_get_contents("{base}{path}", false, $context), true);
echo $answer["data"]["total"]["gb_used"];"""
    return [
        CodeSample("curl", "curl", f"curl -H 'x-api-key: YOUR_API_KEY' '{base}{path}'"),
        CodeSample("python", "Python", python),
        CodeSample("node", "Node.js", node),
        CodeSample("go", "Go", go),
        CodeSample("php", "PHP", php),
    ]


WEBHOOK: Final = """import base64, hashlib, hmac, time

def is_genuine(secret: str, headers, body: bytes) -> bool:
    message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(timestamp)) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return any(hmac.compare_digest(expected, one) for one in headers["webhook-signature"].split())"""


class GuidePage(ReaderPage, TemplateView):
    template_name = "dashboard/guide.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            audiences=audiences(),
            scopes=SCOPES,
            samples=samples(str(settings.PUBLIC_URL)),
            webhook=WEBHOOK,
            base=settings.PUBLIC_URL,
            **kwargs,
        )
