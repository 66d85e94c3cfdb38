"""The forms in which proxy servers ask whether a login may pass: what their bodies say, and how they are answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from orders import addresses
from orders.gateway.decision import CACHE_SECONDS, SignIn, SignInDecision
from orders.gateway.radius import Attributes
from orders.gateway.serializers import AuthorizeBody, GostAuthBody

# A NAS that reports less often counts as gone between two reports.
INTERIM_SECONDS: Final = 60
# Validation keeps nothing in a serializer; making a new one takes three times as long.
_AUTHORIZE_BODY: Final = AuthorizeBody()
_GOST_BODY: Final = GostAuthBody()


class Form(NamedTuple):
    """``read`` takes the parsed body and raises DRF's ValidationError; ``answer`` returns the status and content."""

    read: Callable[[Any], SignIn]
    answer: Callable[[SignIn, SignInDecision], tuple[int, dict[str, Any]]]


def _read_authorize(body: Any) -> SignIn:
    values = _AUTHORIZE_BODY.run_validation(body)
    return SignIn(values["login"], values["password"], addresses.parse(values["clientIp"]))


def _answer_authorize(sign_in: SignIn, decision: SignInDecision) -> tuple[int, dict[str, Any]]:
    if decision.reason is not None:
        return 403, {"allowed": False, "reason": decision.reason.value}
    return 200, {
        "allowed": True,
        "login": sign_in.login,
        "orderId": decision.order_id,
        "bytesLeft": decision.bytes_left,
        "cacheSeconds": CACHE_SECONDS,
    }


def _read_radius(body: Any) -> SignIn:
    given = Attributes(body)
    login, password, client = (given.text(name) or "" for name in ("User-Name", "User-Password", "Calling-Station-Id"))
    return SignIn(login, password, addresses.parse(client))


def _answer_radius(sign_in: SignIn, decision: SignInDecision) -> tuple[int, dict[str, Any]]:
    if decision.reason is not None:
        return 401, {"reply:Reply-Message": decision.reason.value}
    return 200, {"control:Auth-Type": "Accept", "reply:Acct-Interim-Interval": INTERIM_SECONDS}


def _read_gost(body: Any) -> SignIn:
    values = _GOST_BODY.run_validation(body)
    client = values["client"].rpartition(":")[0].strip("[]")
    return SignIn(values["username"], values["password"], addresses.parse(client))


def _answer_gost(sign_in: SignIn, decision: SignInDecision) -> tuple[int, dict[str, Any]]:
    return 200, {"ok": False} if decision.reason else {"ok": True, "id": sign_in.login}


AUTHORIZE: Final = Form(_read_authorize, _answer_authorize)
RADIUS: Final = Form(_read_radius, _answer_radius)
GOST: Final = Form(_read_gost, _answer_gost)
