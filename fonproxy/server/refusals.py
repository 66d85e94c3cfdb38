"""The server's own refusals, in the error shape of the path's family, with a line in the access log."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

import h11
from django.conf import settings
from django.utils import timezone

from fonproxy.api.families import Problem, allows_any_origin, shape_for
from fonproxy.api.renderers import JsonRenderer
from fonproxy.logs import request_id, without_secrets
from fonproxy.middleware import log_response, new_request_id
from fonproxy.server.wsgi import WsgiResponse, split_target, unquoted

CODES: Final = {
    405: "request.method_not_allowed",
    408: "request.timeout",
    413: "request.too_large",
    429: "request.throttled",
    431: "request.headers_too_large",
    501: "request.not_implemented",
    503: "service.unavailable",
}
METHOD: Final = re.compile(r"[A-Z]+")
FIRST_LINE: Final = re.compile(rb"([A-Z]+) (/[^ ?#]*)")


class RequestRefused(Exception):
    """A request that the server answers itself; ``wait`` is the number of seconds for ``Retry-After``."""

    def __init__(self, status: int, sentence: str, *, wait: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.wait = wait


def answer(refused: RequestRefused, method: str, path: str, given_id: str) -> WsgiResponse:
    """The response of the refusal, with the caller's request id if it is valid; writes its line in the access log."""
    code = CODES.get(refused.status, "request.invalid" if refused.status < 500 else "service.internal_error")
    problem = Problem(refused.status, code, refused.sentence, (), path, timezone.now())
    token = request_id.set(new_request_id(given_id))
    try:
        body = JsonRenderer().render(shape_for(path)(problem))
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "private, no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Request-Id", request_id.get()),
        ]
        if refused.wait is not None:
            headers.append(("Retry-After", str(refused.wait)))
        if allows_any_origin(path):
            headers.append(("Access-Control-Allow-Origin", "*"))
            headers.append(("Access-Control-Expose-Headers", ", ".join(settings.CORS_EXPOSE_HEADERS)))
        log_response(method, without_secrets(path), refused.status, None, None)
    finally:
        request_id.reset(token)
    return WsgiResponse(refused.status, HTTPStatus(refused.status).phrase, headers, body)


def id_given_in(request: h11.Request) -> str:
    return dict(request.headers).get(b"x-request-id", b"").decode("latin-1")


def named_by(request: h11.Request) -> tuple[str, str]:
    """The method and path; raises Refused for those that no route can have."""
    method, target = request.method.decode(), request.target
    if not METHOD.fullmatch(method):
        raise RequestRefused(400, "The method must be in upper case.")
    if method == "CONNECT":
        raise RequestRefused(405, "CONNECT is not supported.")
    try:
        return method, unquoted(split_target(target)[0].encode())
    except ValueError:
        raise RequestRefused(400, "The target is malformed.") from None


def named(head: bytes) -> tuple[str, str]:
    """The method and path of a head that is malformed after them; ``-`` and ``/`` if they are malformed too."""
    match = FIRST_LINE.match(head)
    return (match[1].decode(), unquoted(match[2])) if match else ("-", "/")
