"""Sign-ins decided together get the answers that the view gives, and the view decides all that is unusual."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.utils import timezone

from accounts.models import ApiKey, User
from fonproxy import instruments
from fonproxy.server.batches import Batches, Handled
from fonproxy.wsgi import application
from orders import passwords, proxy_users
from orders import services as order_services
from orders.gateway import forms, guessing, sign_in_batches
from orders.models import Order, ProxySession, ProxyUser
from tests.fonproxy.server.running import RunningServer
from tests.orders.helpers import empty_ledger
from tests.serving import Answer

MakeKey = Callable[..., str]
HANDLERS = {
    "/gateway/authorize": sign_in_batches.authorize,
    "/gateway/radius/authorize": sign_in_batches.radius,
    "/gateway/gost/auth": sign_in_batches.gost,
}
PASSWORD = "correct-horse-1"
RIGHT = {"login": "alice", "password": PASSWORD, "clientIp": "192.0.2.1"}
GB = 2**30


class SignInServer(RunningServer):
    """FonProxy itself, with and without the handlers; remembers which sign-ins were decided together with others."""

    def __init__(self, *, together: bool = True) -> None:
        self.together: list[bool] = []
        batches = [Batches(path, partial(self._decide, handler), 200) for path, handler in HANDLERS.items()]
        super().__init__(application, *batches if together else ())

    def _decide(self, handler: Any, environs: Sequence[Any]) -> list[Handled | None]:
        answers: list[Handled | None] = handler(environs)
        self.together += [answer is not None for answer in answers]
        return answers

    def ask(self, body: Any, *headers: str, path: str = "/gateway/authorize") -> Answer:
        """``body`` is sent as JSON, bytes as they are. The headers lack what each answer has of its own."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
        with self.connect() as client:
            client.sendall("\r\n".join([*head, f"Content-Length: {len(sent)}", "", ""]).encode() + sent)
            answer = Answer.read_from(client, "POST")
        for name in ("Date", "X-Request-Id"):
            assert answer.headers[name]
            del answer.headers[name]
        return answer


@pytest.fixture
def servers(order: Order, key: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SignInServer, SignInServer]]:
    """A server that has learned the headers and the password, and one without the handlers."""
    # No thread of a stopped server leaves a connection.
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)
    servers = SignInServer(), SignInServer(together=False)
    try:
        assert servers[0].ask(RIGHT, f"x-api-key: {key}").status == 200
        yield servers
    finally:
        for server in servers:
            server.stop()


@pytest.fixture(autouse=True)
def _committed(transactional_db: None) -> Iterator[None]:
    yield
    empty_ledger()


@pytest.fixture
def key(staff: User, make_key: MakeKey) -> str:
    return make_key(staff, ("gateway",))


@pytest.fixture
def order(alice: User, make_order: Callable[..., Order]) -> Order:
    order = make_order(alice, limit=GB, logins=["alice", "closed"])
    settings(verifier=passwords.verifier_of(PASSWORD))
    return order


def settings(**changed: Any) -> None:
    proxy_users.change(ProxyUser.objects.get(login="alice"), changed)


def parts(answer: Answer) -> tuple[int, list[tuple[str, str]], Any]:
    content = json.loads(answer.body)
    content.pop("timestamp", None)  # of an error
    return answer.status, sorted(answer.headers.items()), content


def exhaust(order: Order) -> None:
    bytes_ = order_services.CREDITS[2]
    order_services.credit(order, bytes_, -GB, reference=None, author="", now=timezone.now())


def connect(order: Order) -> None:
    settings(max_connections=1)
    now = timezone.now()
    row = {"login": "alice", "order": order, "proxy_user_number": 1, "started_at": now, "seen_at": now}
    ProxySession.objects.create(session="1", worker="w", **row)


def guess(order: Order) -> None:
    for _ in range(guessing.MAX_FAILURES):
        guessing.count_failure("alice", forms.AUTHORIZE.read(RIGHT).client)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda order: None, None),
        (lambda order: Order.objects.update(traffic_limit_bytes=None), None),
        (lambda order: settings(allowed_ips=["192.0.2.0/24"], max_connections=1), None),
        (lambda order: settings(allowed_ips=["198.51.100.0/24"]), "ip_not_allowed"),
        (lambda order: settings(stopped_until=timezone.now() + timedelta(hours=1)), "exhausted"),
        (exhaust, "exhausted"),
        (lambda order: order_services.suspend(order, timezone.now()), "suspended"),
        (lambda order: order_services.expire(order, timezone.now()), "expired"),
        (connect, "too_many_connections"),
        (lambda order: ProxyUser.objects.filter(login="alice").delete(), "unknown"),
    ],
    ids=[
        "none",
        "no limit",
        "allowed address",
        "other addresses",
        "own limit reached",
        "used up",
        "suspended",
        "expired",
        "connected",
        "deleted",
    ],
)
def test_a_change_counts_for_the_next_sign_in_with_the_views_answer(
    servers: tuple[SignInServer, SignInServer], order: Order, key: str, change: Callable[[Order], Any], reason: Any
) -> None:
    assert servers[0].ask(RIGHT, f"x-api-key: {key}").status == 200
    change(order)
    answers = [server.ask(RIGHT, f"x-api-key: {key}") for server in servers]
    assert json.loads(answers[0].body).get("reason") == reason
    assert parts(answers[0]) == parts(answers[1])
    assert servers[0].together == [True, True]


@pytest.mark.parametrize(
    "change",
    [
        lambda order: settings(verifier=passwords.verifier_of("another-password")),
        lambda order: settings(verifier=""),
        guess,
    ],
    ids=["a new password", "no password", "too many guesses"],
)
def test_the_view_decides_once_the_password_is_not_verified_or_was_guessed_at(
    servers: tuple[SignInServer, SignInServer], order: Order, key: str, change: Callable[[Order], Any]
) -> None:
    change(order)
    answers = [server.ask(RIGHT, f"x-api-key: {key}") for server in servers]
    assert json.loads(answers[0].body) == {"allowed": False, "reason": "bad_password"}
    assert parts(answers[0]) == parts(answers[1])
    assert servers[0].together == [False]


def test_every_wrong_password_counts_once_as_a_guess(servers: tuple[SignInServer, SignInServer], key: str) -> None:
    client = forms.AUTHORIZE.read(RIGHT).client
    for number in range(guessing.MAX_FAILURES):
        assert not guessing.is_blocked("alice", client), number
        assert servers[0].ask({**RIGHT, "password": "wrong-password"}, f"x-api-key: {key}").status == 403
    assert guessing.is_blocked("alice", client)
    assert servers[0].ask({**RIGHT, "clientIp": "192.0.2.2"}, f"x-api-key: {key}").status == 200
    assert servers[0].together == [False] * guessing.MAX_FAILURES + [True]


BODIES: list[tuple[Any, bool]] = [
    ({"login": "alice"}, True),
    ({"login": "alice", "password": None, "unknown": {"a": [1, 1.5, None]}}, True),
    ({"login": "closed"}, True),
    ({"login": "nobody", "password": "x"}, True),
    ({"login": "", "password": ""}, True),
    ({"login": "\0"}, True),
    ({"login": "\ud800", "password": "\ud800"}, True),
    ({"login": "x" * 9000}, True),
    ({**RIGHT, "clientIp": "no address"}, True),
    ({**RIGHT, "password": "\ud800"}, False),
    ({"login": "closed", "password": ""}, False),
    (b'{"login": "nobody", "login": "alice"}', True),
    (b'{"login": "alice", "x": NaN}', False),
    (b'{"login": "alice"', False),
    (b'\xef\xbb\xbf{"login": "alice"}', False),
    (b'{"login": "\xff"}', False),
    (b'{"login": "a\nb"}', False),
    (b"[" * 60_000, False),
    (b'{"login": ' + b"1" * 5000 + b"}", False),
    (b"", False),
    (b"null", False),
    ([], False),
    ({}, False),
    ({"login": None}, False),
    ({"login": 1}, False),
    ({"login": "alice", "password": 1}, False),
    ({"login": "alice", "clientIp": None}, False),
    ({"login": "alice", "worker": ["w"]}, False),
]


def test_any_body_gets_the_views_answer(servers: tuple[SignInServer, SignInServer], key: str) -> None:
    wrong = []
    for body, is_together in BODIES:
        servers[0].together.clear()
        answers = [parts(server.ask(body, f"x-api-key: {key}")) for server in servers]
        if answers[0] != answers[1] or servers[0].together != [is_together]:
            wrong.append((body, servers[0].together, *answers))
    assert not wrong


def basic(secret: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"gateway:{secret}".encode()).decode()


def test_any_credential_gets_the_views_answer(
    servers: tuple[SignInServer, SignInServer], staff: User, alice: User, key: str, make_key: MakeKey
) -> None:
    revoked, expired, left = (make_key(staff, ("gateway",)) for _ in range(3))
    ApiKey.objects.filter(prefix=revoked[:8]).update(revoked_at=timezone.now())
    ApiKey.objects.filter(prefix=expired[:8]).update(expires_at=timezone.now())
    ApiKey.objects.filter(prefix=left[:8]).update(user=User.objects.create_user("left", is_active=False))
    reader = make_key(alice, ("read",))
    cases: list[tuple[list[str], int, bool]] = [
        ([f"x-api-key: {key}"], 200, True),
        ([f"Authorization: Bearer {key}"], 200, True),
        ([basic(key)], 200, True),
        ([basic(key), f"x-api-key: {reader}"], 200, True),
        ([f"x-api-key: {key}", "X-Request-Id: mine"], 200, True),
        ([f"x-api-key: {reader}"], 403, False),
        ([f"x-api-key: {revoked}"], 401, False),
        ([f"x-api-key: {expired}"], 401, False),
        ([f"x-api-key: {left}"], 401, False),
        ([f"x-api-key: {key}x"], 401, False),
        ([f"x-api-key: {revoked}", f"Authorization: Bearer {key}"], 401, False),
        ([f"x-api-key: {key}", basic(revoked)], 401, False),
        ([f"x-api-key: {key}", "Authorization: Basic %%%"], 401, False),
        ([f"x-api-key: {key}", "Authorization: Basic"], 401, False),
        ([basic("")], 401, False),
        (["Authorization: Basic \xff"], 401, False),
        ([], 401, False),
    ]
    for headers, status, is_together in cases:
        servers[0].together.clear()
        answers = [server.ask(RIGHT, *headers) for server in servers]
        assert answers[0].status == status, headers
        assert parts(answers[0]) == parts(answers[1]), headers
        assert servers[0].together == [is_together], headers


def test_a_revoked_key_is_refused_from_the_next_call(servers: tuple[SignInServer, SignInServer], key: str) -> None:
    assert servers[0].ask(RIGHT, f"x-api-key: {key}").status == 200
    ApiKey.objects.update(revoked_at=timezone.now())
    assert servers[0].ask(RIGHT, f"x-api-key: {key}").status == 401


@pytest.mark.parametrize(
    ("path", "right", "stopped"),
    [
        ("/gateway/authorize", RIGHT, 403),
        (
            "/gateway/radius/authorize",
            {"User-Name": {"value": ["alice"]}, "User-Password": {"value": [PASSWORD]}},
            401,
        ),
        ("/gateway/gost/auth", {"username": "alice", "password": PASSWORD, "client": "192.0.2.1:5000"}, 200),
    ],
)
def test_each_form_is_answered_as_by_its_view(
    servers: tuple[SignInServer, SignInServer], order: Order, key: str, path: str, right: Any, stopped: int
) -> None:
    kinds = ["Accept: */*", "Accept: text/csv", "Accept: application/json; indent=4"]

    def answers(kind: str) -> list[Any]:
        return [parts(server.ask(right, f"x-api-key: {key}", kind, path=path)) for server in servers]

    assert [answers(kind)[0][0] for kind in kinds] == [200] * 3
    servers[0].together.clear()
    for kind in kinds:
        together, alone = answers(kind)
        assert together == alone, kind
    order_services.suspend(order, timezone.now())
    for kind in kinds:
        together, alone = answers(kind)
        assert together == alone, kind
        assert together[0] == stopped, kind
    assert servers[0].together == [True] * 6


def test_both_leave_the_same_line_in_the_log_and_the_same_counts(
    servers: tuple[SignInServer, SignInServer], key: str, caplog: pytest.LogCaptureFixture
) -> None:
    def left_by(server: SignInServer) -> tuple[float, dict[str, Any]]:
        caplog.clear()
        times = instruments.HTTP_SECONDS.labels("POST", "gateway/authorize", 403)
        before = sum(bucket.get() for bucket in times._buckets)
        server.ask({"login": "nobody"}, f"x-api-key: {key}", "X-Request-Id: mine")
        [line] = [record for record in caplog.records if record.name == "fonproxy.access"]
        own = ("ms", "created", "msecs", "relativeCreated", "thread", "threadName", "taskName", "asctime")
        told = {name: value for name, value in vars(line).items() if name not in own}
        return sum(bucket.get() for bucket in times._buckets) - before, told

    with caplog.at_level(logging.INFO, "fonproxy.access"):
        assert left_by(servers[0]) == left_by(servers[1])
    assert servers[0].together == [True]


def environ(key: str, body: Any) -> dict[str, Any]:
    return {"HTTP_X_API_KEY": key, "wsgi.input": io.BytesIO(json.dumps(body).encode())}


def test_each_of_many_has_its_own_answer(order: Order, key: str) -> None:
    bodies: list[Any] = [{"login": "alice"}, RIGHT, {"login": "nobody"}, [], {"login": "closed"}]
    answers = sign_in_batches.authorize([environ(key, body) for body in bodies])
    assert [answer and (answer.status, json.loads(answer.body).get("login")) for answer in answers] == [
        (200, "alice"), None, (403, None), None, (200, "closed"),
    ]  # fmt: skip


def test_many_take_as_many_queries_as_one(
    order: Order, key: str, make_order: Callable[..., Order], alice: User, django_assert_num_queries: Any
) -> None:
    make_order(alice, limit=GB, logins=[f"login{number}" for number in range(20)])
    ProxyUser.objects.update(max_connections=5)
    sign_in_batches.authorize([environ(key, {"login": "alice"})])  # records the key's use
    for count in (1, 20):
        with django_assert_num_queries(4):
            answers = sign_in_batches.authorize([environ(key, {"login": f"login{number}"}) for number in range(count)])
        assert [answer and answer.status for answer in answers] == [200] * count


def test_no_password_is_hashed_among_others(order: Order, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "matches", lambda *_: pytest.fail("hashing delays the others"))
    assert sign_in_batches.authorize([environ(key, RIGHT)]) == [None]


def test_the_view_decides_all_if_deciding_them_together_fails(
    servers: tuple[SignInServer, SignInServer], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise OperationalError

    monkeypatch.setattr(sign_in_batches, "decide_together", fail)
    assert servers[0].ask(RIGHT, f"x-api-key: {key}").status == 200
    assert servers[0].together == [False]
