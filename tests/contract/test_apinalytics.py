"""Section 5 of the contract: events of an API, and time series over them, against a model in plain Python."""

from __future__ import annotations

import gzip
import json
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from django.conf import settings
from rest_framework.test import APIClient

from accounts import applications
from accounts.models import Application, ApplicationKey, User
from accounts.peppers import stored
from analytics.apinalytics.masking import masked
from analytics.apinalytics.queries import Field, Series
from analytics.ingest.flusher import flusher
from analytics.models import IngestBatch, InsertBlock
from fonproxy.clickhouse.client import Client, get_client
from tests.analytics.helpers import counted, engine_unavailable
from tests.contract.present import NOW

# Some whole hour of the day before yesterday.
T0 = int((NOW - timedelta(days=2)).replace(minute=0, second=0).timestamp())


@pytest.fixture
def application(alice: User, clean_engine: Client) -> tuple[Application, applications.Keys]:
    return applications.create(alice, "Shop API", NOW)


def client_with(application: Application, key: str) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_X_AUTH_USER=application.published_id, HTTP_X_AUTH_KEY=key)
    return client


@pytest.fixture
def sender(application: tuple[Application, applications.Keys]) -> APIClient:
    return client_with(application[0], application[1].write)


@pytest.fixture
def reader(application: tuple[Application, applications.Keys]) -> APIClient:
    return client_with(application[0], application[1].read)


def event(**changes: Any) -> dict[str, Any]:
    """An event as the public sender writes it: every field, no data."""
    return {
        "timestamp": T0,
        "consumer_id": "c-1",
        "method": "GET",
        "url": "/v1/items?page=2",
        "function": "list_items",
        "response_us": 1500,
        "status_code": 200,
        "data": None,
        **changes,
    }


def send(
    client: APIClient, *events: dict[str, Any], expected: int = 200, path: str = "/1/event/", key: str | None = None
) -> Any:
    headers = {"Idempotency-Key": key} if key else None
    answer = client.post(path, json.dumps(events), content_type="application/json", headers=headers)
    assert answer.status_code == expected, answer.content
    return answer.json()


def ask(client: APIClient, start: int, end: int, expected: int = 200, /, **query: Any) -> Any:
    answer = client.get(f"/1/timeseries/{start}/{end}/", query)
    assert answer.status_code == expected, answer.content
    return answer.json()


# --- events ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/1/event/", "/1/event", "/1/events/"])
def test_events_are_sent_and_counted(
    path: str, sender: APIClient, reader: APIClient, application: tuple[Application, applications.Keys]
) -> None:
    assert send(sender, event(), event(status_code=404), path=path) == {}
    assert ask(reader, T0, T0 + 3600) == {
        "groups": {application[0].published_id: [[T0, 2]]},
        "start": T0,
        "end": T0 + 3600,
        "granularity": 3_600_000,
    }


def test_the_owner_reads_the_same_series_without_an_application_key(
    sender: APIClient, reader: APIClient, application: tuple[Application, applications.Keys], alice: User
) -> None:
    send(sender, event(), event(function="other", status_code=404))
    owner = APIClient()
    owner.force_login(alice)
    path = f"{T0}/{T0 + 3600}"
    for query in ("granularity=60&group=function", "aggregation=percentile_95&include=status_code:404", "format=csv"):
        own = owner.get(f"/applications/{application[0].published_id}/timeseries/{path}?{query}")
        published = reader.get(f"/1/timeseries/{path}?{query}")
        assert (own.status_code, own.content) == (published.status_code, published.content) == (200, own.content)


def test_an_empty_batch_of_events_is_accepted(sender: APIClient) -> None:
    assert send(sender) == {}


def test_missing_fields_have_defaults_and_unknown_ones_are_ignored(sender: APIClient, reader: APIClient) -> None:
    few = event(anything={"else": [1]})
    del few["function"], few["consumer_id"], few["data"]
    send(sender, few, event(consumer_id=""))
    assert list(ask(reader, T0, T0 + 1, group="function")["groups"]) == ["list_items", "unknown"]
    assert list(ask(reader, T0, T0 + 1, group="consumer_id")["groups"]) == [""]


def test_a_response_time_may_have_a_fraction_and_counts_as_the_nearest_microsecond(
    sender: APIClient, reader: APIClient
) -> None:
    """Clients that compute it from seconds send a floating-point number."""
    send(sender, *(event(response_us=time) for time in (1500.0, 1500.4, 1500.6, 2e3, 0.0)))
    assert ask(reader, T0, T0 + 1, aggregation="sum")["groups"].popitem()[1] == [[T0, 1500 + 1500 + 1501 + 2000]]


@pytest.mark.parametrize("name", ["", None])
def test_an_empty_function_is_unknown_and_a_null_consumer_is_empty(
    name: str | None, sender: APIClient, reader: APIClient
) -> None:
    """The published Go client always sends the function, and leaves it empty."""
    nameless = event()
    del nameless["function"]
    send(sender, event(function=name, consumer_id=None), nameless)
    assert ask(reader, T0, T0 + 1, group="function")["groups"] == {"unknown": [[T0, 2]]}
    assert set(ask(reader, T0, T0 + 1, group="consumer_id")["groups"]) == {"", "c-1"}
    for asked in ("function:", "function:unknown"):
        assert ask(reader, T0, T0 + 1, include=asked)["groups"].popitem()[1] == [[T0, 2]]


def test_events_from_the_published_go_middleware_are_accepted(sender: APIClient, reader: APIClient) -> None:
    """Its fields in its order. A handler without a name is "unknown" there, or empty where the sender is used alone."""
    names = ("GetEvent", "unknown", "")
    sent = [
        f'{{"timestamp":{T0},"consumer_id":"","method":"GET","url":"/api/1/event/?since=3","function":"{name}",'
        f'"response_us":{number},"status_code":200,"data":{data}}}'
        for number, (name, data) in enumerate(product(names, ("null", '{"my_parameter":"x"}')))
    ]
    answer = sender.post("/1/event/", f"[{','.join(sent)}]", content_type="application/json")
    assert (answer.status_code, answer.content) == (200, b"{}")
    assert ask(reader, T0, T0 + 1, group="function")["groups"] == {"unknown": [[T0, 4]], "GetEvent": [[T0, 2]]}


CHARTS: dict[str, dict[str, str]] = {
    "calls per consumer": {"group": "consumer_id", "granularity": "hour"},
    "calls per function": {"group": "function", "granularity": "hour"},
    "mean per function": {
        "group": "function",
        "value": "response_us",
        "aggregation": "mean",
        "granularity": "minute",
    },
    "functions at once": {"group": "function"},
    "consumers at once": {"group": "consumer_id"},
    "status codes": {"group": "status_code"},
    "sum per minute": {"value": "response_us", "aggregation": "sum", "granularity": "minute"},
}


@pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS)
@pytest.mark.parametrize("is_list", [False, True])
def test_the_published_html_dashboard_draws_its_charts(
    chart: dict[str, str], is_list: bool, sender: APIClient, application: tuple[Application, applications.Keys]
) -> None:
    """jQuery sends omitted parameters of a chart as empty ones; the page pads the key that is unpadded in its URL."""
    send(sender, event(), event(status_code=500, function="other"))
    key = application[1].read
    padded = client_with(application[0], key + "=" * (4 - len(key) % 4))
    empty = dict.fromkeys(("value", "group", "granularity", "aggregation", "include"), "")
    include = {"include[]": ["method:GET", "method:PUT"]} if is_list else {}
    found = ask(padded, T0 - 3600, T0 + 3600, **{**empty, **chart, **include})
    assert isinstance(found["granularity"], int)
    assert found["groups"]
    for points in found["groups"].values():
        # The page's bars read the first point of each group, its columns all of them as pairs.
        assert points
        assert all(T0 - 3600 <= at < T0 + 3600 and value is not None for at, value in points)


WHOLE_SECONDS = "timestamp: Must be whole seconds since 1970."
BAD: dict[str, tuple[Any, str]] = {
    "not JSON": ("[{", "not JSON"),
    "an object": ("{}", "array"),
    "null": ("null", "array"),
    "no timestamp": ([{key: value for key, value in event().items() if key != "timestamp"}], "timestamp"),
    "no timestamp in words": ([{"method": "GET"}], "Is required."),
    "a fraction": ([event(timestamp=T0 + 0.5)], WHOLE_SECONDS),
    "a timestamp as text": ([event(timestamp=str(T0))], WHOLE_SECONDS),
    "milliseconds": ([event(timestamp=T0 * 1000)], WHOLE_SECONDS),
    "before 1970": ([event(timestamp=-1)], WHOLE_SECONDS),
    "too old": ([event(timestamp=T0 - 500 * 86400)], "timestamp"),
    "ahead": ([event(timestamp=T0 + 5 * 86400)], "timestamp"),
    "a negative time": ([event(response_us=-1)], "response_us"),
    "a negative fraction": ([event(response_us=-0.5)], "response_us"),
    "a time that is too long": ([event(response_us=2.0**44 + 1)], "response_us"),
    "an infinite time": (f"[{json.dumps(event()).replace('1500', '1e400')}]", "response_us"),
    "a time as text": ([event(response_us="1500")], "response_us"),
    "a status as text": ([event(status_code="200")], "status_code"),
    "true": ([event(status_code=True)], "status_code"),
    "a long consumer": ([event(consumer_id="x" * 256)], "consumer_id"),
    "a number in the list": ([1], "row"),
    "half a surrogate pair": ('[{"timestamp": 1, "url": "\\ud800"}]', "surrogate"),
}


@pytest.mark.parametrize(("body", "named"), BAD.values(), ids=BAD)
def test_a_bad_event_is_named_and_nothing_is_stored(
    body: Any, named: str, sender: APIClient, clean_engine: Client
) -> None:
    text = body if isinstance(body, str) else json.dumps([event(), *body])
    answer = sender.post("/1/event/", text, content_type="application/json")
    assert answer.status_code == 400, answer.content
    assert list(answer.json()) == ["error"]
    assert named in answer.json()["error"]
    assert counted(clean_engine, "events") == (0, 0)


def test_more_than_ten_thousand_events_are_too_many(sender: APIClient, clean_engine: Client) -> None:
    assert "10,000" in send(sender, *[event()] * 10_001, expected=413)["error"]
    send(sender, *[event()] * 10_000)
    assert counted(clean_engine, "events") == (10_000, 10_000)


def test_a_batch_may_be_gzipped_and_repeated_under_its_key(
    sender: APIClient, application: tuple[Application, applications.Keys], alice: User, clean_engine: Client
) -> None:
    body = gzip.compress(json.dumps([event()]).encode())
    headers = {"Idempotency-Key": "x" * 128, "Content-Encoding": "gzip"}
    for _ in range(2):
        answer = sender.post("/1/event/", body, content_type="application/json", headers=headers)
        assert answer.status_code == 200
    assert counted(clean_engine, "events") == (1, 1)
    assert send(sender, event(), event(), expected=409, key="x" * 128)["error"]
    other, keys = applications.create(alice, "another", NOW)  # its keys are independent
    send(client_with(other, keys.write), event(), event(), key="x" * 128)
    assert counted(clean_engine, "events") == (3, 3)


def test_events_accepted_while_the_engine_is_unavailable_count_once(sender: APIClient, reader: APIClient) -> None:
    with engine_unavailable():
        send(sender, event())
        assert ask(reader, T0, T0 + 1, 503)["error"]
    IngestBatch.objects.update(claimed_until=NOW)
    InsertBlock.objects.update(claimed_until=NOW)
    flusher.replay()
    flusher.replay()
    assert counted(get_client(), "events") == (1, 1)


MASKED = {
    "/v1?token=abc&page=2": "/v1?token=***&page=2",
    "/v1?access_token=abc": "/v1?access_token=***",
    "/v1?accessToken=abc;x=1": "/v1?accessToken=***;x=1",
    "/v1?API-KEY=abc": "/v1?API-KEY=***",
    "/v1?%74oken=abc": "/v1?%74oken=***",
    "/v1?monkey=abc&keyboard=x": "/v1?monkey=abc&keyboard=x",
    "/v1?a=1&password=p%26q#secret=s": "/v1?a=1&password=***#secret=***",
    "/v1?apikey=a&apikey=b": "/v1?apikey=***&apikey=***",
    "https://user:pass@api.example/v1?q=a@b": "https://api.example/v1?q=a@b",
    "/v1?password=": "/v1?password=***",
    "/v1?password": "/v1?password",
    "/a?next=/cb?token=S": "/a?next=/cb?token=***",
    "/a?next=https://h/cb?access_token=S&x=1": "/a?next=https://h/cb?access_token=***&x=1",
    "/a?next=https%3A%2F%2Fh%2Fcb%3Ftoken%3DS": "/a?next=***",
    "/a?a=x%26token=S&b=1": "/a?a=***&b=1",
    "/a?token%3DS": "/a?***",
    "/a?%2574oken=S": "/a?%2574oken=***",
    "/a?q=50%25&x=%C3%A9": "/a?q=50%25&x=%C3%A9",
    "https://user:p@S@h/x": "https://h/x",
    "https://user:p/S@h/x": "https://h/x",
    "https://host:8080/@me?q=a@b": "https://host:8080/@me?q=a@b",
    "/proxy/https://u:S@h/x": "/proxy/https://h/x",
    "u:S@h/x": "h/x",
    "https:/u:S@h/x": "https:/h/x",
    "/a?myAPIKey=S&APIToken=S&AWSSecret=S": "/a?myAPIKey=***&APIToken=***&AWSSecret=***",
    "/a?token1=S&Passwords=S": "/a?token1=***&Passwords=***",
    "/a?session_key2=S&accesstoken=S": "/a?session_key2=***&accesstoken=***",
    "/a?tok%00en=S": "/a?tok%00en=***",
    "token=S&a=1": "token=***&a=1",
    "/a;token=S/b": "/a;token=***",
}


def test_secrets_in_urls_are_not_stored(sender: APIClient, reader: APIClient) -> None:
    send(sender, *(event(url=url) for url in MASKED))
    assert {url: masked(url, settings.SECRET_PARAMETERS) for url in MASKED} == MASKED
    assert set(ask(reader, T0, T0 + 1, group="url")["groups"]) == set(MASKED.values())
    found = ask(reader, T0, T0 + 1, include="url:/v1?token=abc&page=2")
    assert [point for points in found["groups"].values() for point in points] == [[T0, 1]]


# --- keys ------------------------------------------------------------------------------------------------------------


def test_each_key_works_for_its_own_purpose_only(
    application: tuple[Application, applications.Keys], sender: APIClient, reader: APIClient, bob: User
) -> None:
    send(sender, event())
    other, keys = applications.create(bob, "another", NOW)
    assert send(reader, event(), expected=403)["error"]
    assert ask(sender, T0, T0 + 1, 403)["error"]
    assert ask(client_with(other, keys.read), T0, T0 + 1)["groups"] == {other.published_id: [[T0, 0]]}
    for client in (
        client_with(application[0], keys.read),
        client_with(other, application[1].read),
        client_with(application[0], "nonsense"),
        client_with(application[0], ""),
        APIClient(),
    ):
        answer = client.get(f"/1/timeseries/{T0}/{T0 + 1}/")
        assert answer.status_code == 401
        assert list(answer.json()) == ["error"]


def test_a_padded_key_is_the_same_key(application: tuple[Application, applications.Keys]) -> None:
    ask(client_with(application[0], f"{application[1].read}="), T0, T0 + 1)


def test_keys_are_unpadded_base64_and_kept_as_hashes(application: tuple[Application, applications.Keys]) -> None:
    for key in application[1]:
        assert len(key) % 4 == 0
        assert "=" not in key
        assert ApplicationKey.objects.filter(key_hash=stored(key).key_hash).exists()
        assert not ApplicationKey.objects.filter(key_hash=key).exists()


def test_an_exchanged_key_works_until_its_time(
    application: tuple[Application, applications.Keys], reader: APIClient, settings: Any
) -> None:
    made, old = application
    new = applications.rotate_keys(made, NOW)
    for keys in (old, new):
        send(client_with(made, keys.write), event())
        ask(client_with(made, keys.read), T0, T0 + 1)
    end = NOW + timedelta(hours=settings.KEY_GRACE_HOURS)
    assert applications.find_key(made.published_id, old.read, end - timedelta(seconds=1)) is not None
    assert applications.find_key(made.published_id, old.read, end) is None
    assert applications.find_key(made.published_id, new.read, end) is not None
    newest = applications.rotate_keys(made, NOW, immediately=True)
    assert ask(reader, T0, T0 + 1, 401)
    assert ask(client_with(made, new.read), T0, T0 + 1, 401)
    ask(client_with(made, newest.read), T0, T0 + 1)


def test_an_application_is_made_and_its_keys_exchanged_by_its_owner(
    alice: User, bob: User, client_for: Callable[..., APIClient], clean_engine: Client
) -> None:
    owner, other = client_for(alice), client_for(bob)
    made = owner.post("/applications", {"name": "Shop API"}, format="json")
    assert made.status_code == 201
    assert made.json()["message"] == "application.created"
    told = made.json()["application"]
    assert list(told) == ["id", "name", "createdAt", "writeKey", "readKey"]
    client = APIClient()
    client.credentials(HTTP_X_AUTH_USER=told["id"], HTTP_X_AUTH_KEY=told["writeKey"])
    send(client, event())
    listed = owner.get("/applications").json()["applications"]
    assert listed == [{name: told[name] for name in ("id", "name", "createdAt")}]
    assert other.get("/applications").json() == {"applications": []}
    assert other.post(f"/applications/{told['id']}/rotate-keys").status_code == 404
    answer = owner.post(f"/applications/{told['id']}/rotate-keys", {"immediately": True}, format="json").json()
    assert answer["message"] == "application.keys_rotated"
    send(client, event(), expected=401)
    client.credentials(HTTP_X_AUTH_USER=told["id"], HTTP_X_AUTH_KEY=answer["application"]["writeKey"])
    send(client, event())


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": 3}, {"name": "x" * 101}])
def test_an_application_needs_a_name(body: dict[str, Any], alice: User, client_for: Callable[..., APIClient]) -> None:
    answer = client_for(alice).post("/applications", body, format="json")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "name"


# --- time series -----------------------------------------------------------------------------------------------------

GRANULARITIES = {None: None, "": None, "second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800, "90": 90}
AGGREGATIONS = ("count", "mean", "min", "max", "sum", "percentile_1", "percentile_50", "percentile_95", "percentile_99")
GROUPS = (None, "", "consumer_id", "method", "url", "function", "status_code")
INCLUDES: tuple[tuple[str, ...], ...] = (
    (),
    ("",),
    ("method:GET",),
    ("method:GET", "method:PUT", "status_code:200"),
    ("consumer_id:",),
    ("url:http://x.example/a:b",),
)


@pytest.fixture
def events(sender: APIClient) -> list[dict[str, Any]]:
    chance = random.Random(5)
    made = [
        event(
            timestamp=T0 + chance.randrange(8000),
            consumer_id=chance.choice(("c-1", "c-2", "")),
            method=chance.choice(("GET", "PUT")),
            url=chance.choice(("/a", "http://x.example/a:b")),
            function=chance.choice(("f", "ü")),
            response_us=chance.randrange(10**6),
            status_code=chance.choice((200, 404)),
        )
        for _ in range(400)
    ]
    send(sender, *made)
    return made


def aggregate(name: str, values: list[int]) -> Any:
    match name.split("_"):
        case ["count"]:
            return len(values)
        case ["mean"]:
            return sum(values) / len(values)
        case ["percentile", percent]:
            return sorted(values)[math.ceil(int(percent) * len(values) / 100) - 1]
        case _:
            functions: dict[str, Callable[[list[int]], int]] = {"min": min, "max": max, "sum": sum}
            return functions[name](values)


def model(
    events: Iterable[dict[str, Any]],
    start: int,
    end: int,
    name: str,
    step: int | None,
    group: str,
    includes: Iterable[str],
) -> dict[str, list[list[Any]]]:
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for text in filter(None, includes):
        field, _, value = text.partition(":")
        wanted[field].add(value)
    points: defaultdict[str, defaultdict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for one in events:
        if start <= one["timestamp"] < end and all(str(one[field]) in values for field, values in wanted.items()):
            at = one["timestamp"] // step * step if step else start
            points[str(one[group]) if group else ""][at].append(one["response_us"])
    return {
        key: [[at, aggregate(name, values)] for at, values in sorted(series.items())] for key, series in points.items()
    }


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_a_time_series_equals_the_events_sent(
    name: str,
    events: list[dict[str, Any]],
    reader: APIClient,
    application: tuple[Application, applications.Keys],
) -> None:
    start, end = T0 + 17, T0 + 7211
    # Every pair of a granularity, a group and a filter, and all of them with every aggregation.
    for (i, (granularity, step)), (j, group) in product(enumerate(GRANULARITIES.items()), enumerate(GROUPS)):
        includes = INCLUDES[(i + j) % len(INCLUDES)]
        query: dict[str, Any] = {"aggregation": name, "include": list(includes)}
        query |= {} if granularity is None else {"granularity": granularity}
        query |= {} if group is None else {"group": group}
        answer = ask(reader, start, end, **query)
        expected = model(events, start, end, name, step, group or "", includes)
        if not group:
            expected = {application[0].published_id: expected.get("", [])}
        assert answer["granularity"] == (step or end - start) * 1000
        assert answer["groups"].keys() == expected.keys()
        for key, points in expected.items():
            assert [point[0] for point in answer["groups"][key]] == [point[0] for point in points]
            assert [point[1] for point in answer["groups"][key]] == pytest.approx([point[1] for point in points])


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 60), (0, 7260), (17, 43), (17, 60), (60, 61), (59, 61), (30, 7200), (0, 7230), (119, 120), (59, 120)],
)
def test_seconds_around_whole_minutes_count_once(
    start: int,
    end: int,
    events: list[dict[str, Any]],
    reader: APIClient,
    application: tuple[Application, applications.Keys],
) -> None:
    for granularity, step in (("", None), ("minute", 60), ("hour", 3600)):
        answer = ask(reader, T0 + start, T0 + end, granularity=granularity)
        expected = model(events, T0 + start, T0 + end, "count", step, "", ())
        assert answer["groups"] == {application[0].published_id: expected.get("", [[T0 + start, 0]] * (not step))}


@pytest.mark.parametrize(
    ("group", "includes", "projection"),
    [
        (None, {}, "minutes_by_"),
        (Field.CONSUMER_ID, {}, "minutes_by_consumer"),
        (None, {Field.CONSUMER_ID: ("c-1", "c-2")}, "minutes_by_consumer"),
        (Field.FUNCTION, {Field.STATUS_CODE: (200,), Field.METHOD: ("GET",)}, "minutes_by_function"),
        (Field.URL, {}, None),
        (Field.FUNCTION, {Field.CONSUMER_ID: ("c-1",)}, None),
    ],
)
@pytest.mark.parametrize("name", ["count", "mean", "min", "max", "sum", "percentile_95"])
def test_queries_that_a_projection_can_answer_do_not_read_single_events(
    name: str,
    group: Field | None,
    includes: dict[Field, tuple[int | str, ...]],
    projection: str | None,
    many_events: int,
) -> None:
    end, oldest = T0 + 3601, datetime.fromtimestamp(T0, UTC)
    series = Series(many_events, T0 + 1, end, oldest, name, 3600, group, includes, 100, 1000)
    sql = series.to_sql()
    plan = "\n".join(line for (line,) in get_client().fetch(f"EXPLAIN {sql.text}", sql.params, tag="tests"))
    if projection and not name.startswith("percentile"):
        assert f"ReadFromMergeTree ({projection}" in plan
    else:
        assert "minutes_by_" not in plan


@pytest.fixture
def many_events(application: tuple[Application, applications.Keys]) -> int:
    """An application with some hundred events a minute for an hour."""
    number = application[0].pk
    get_client().command(
        "INSERT INTO events (application_id, ts, event_id, consumer_id, function, response_us)"
        f" SELECT {number}, toDateTime({T0} + number % 3600, 'UTC'), generateUUIDv4(),"
        " concat('c-', toString(number % 3)), concat('f', toString(number % 5)), number FROM numbers(40000)",
        tag="tests",
    )
    return number


def test_events_from_before_the_sums_by_the_minute_count_too(
    application: tuple[Application, applications.Keys], reader: APIClient, many_events: int
) -> None:
    client = get_client()
    for statement in (
        "ALTER TABLE events CLEAR PROJECTION minutes_by_consumer SETTINGS mutations_sync = 2",
        "ALTER TABLE events CLEAR PROJECTION minutes_by_function SETTINGS mutations_sync = 2",
    ):
        client.command(statement, tag="tests")
    client.command(
        "INSERT INTO events SELECT * REPLACE (generateUUIDv4() AS event_id) FROM events"
        f" WHERE application_id = {many_events}",
        tag="tests",
    )
    for group in ("consumer_id", "function", ""):
        groups = ask(reader, T0, T0 + 3600, group=group)["groups"]
        assert sum(value for points in groups.values() for _, value in points) == 80_000


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"granularity": "hour"},
        {"granularity": "hour", "group": "consumer_id"},
        {"granularity": "hour", "group": "consumer_id", "aggregation": "percentile_95"},
        {"granularity": "hour", "group": "function", "aggregation": "mean"},
    ],
)
def test_the_published_examples_are_answered(query: dict[str, str], reader: APIClient) -> None:
    answer = ask(reader, 1412605036, 1412691436, **query)
    assert answer["start"], answer["end"] == (1412605036, 1412691436)
    assert answer["granularity"] == (3_600_000 if query else 86_400_000)


@pytest.mark.parametrize(
    ("name", "value"), [("count", 0), ("sum", 0), ("mean", None), ("min", None), ("max", None), ("percentile_9", None)]
)
def test_without_events_counts_are_zero_and_others_null(
    name: str, value: Any, reader: APIClient, application: tuple[Application, applications.Keys]
) -> None:
    own = application[0].published_id
    assert ask(reader, T0, T0 + 60, aggregation=name)["groups"] == {own: [[T0, value]]}
    assert ask(reader, T0, T0, aggregation=name)["groups"] == {own: [[T0, value]]}
    assert ask(reader, T0, T0 + 60, aggregation=name, granularity="minute")["groups"] == {own: []}
    assert ask(reader, T0, T0 + 60, aggregation=name, group="url")["groups"] == {}


@pytest.mark.parametrize("percent", [1, 50, 99])
@pytest.mark.parametrize("response_us", [0, 1, 1500, 2**44])
def test_percentiles_of_equal_events_equal_that_value(
    percent: int, response_us: int, sender: APIClient, reader: APIClient
) -> None:
    send(sender, *[event(response_us=response_us)] * 10_000)
    [[(_, value)]] = ask(reader, T0, T0 + 1, aggregation=f"percentile_{percent}")["groups"].values()
    assert value == response_us


def test_percentiles_of_many_events_are_off_by_one_per_cent_at_most(
    reader: APIClient, application: tuple[Application, applications.Keys]
) -> None:
    get_client().command(
        "INSERT INTO events (application_id, ts, event_id, response_us)"
        f" SELECT {application[0].pk}, toDateTime({T0}, 'UTC'), generateUUIDv4(), number * number FROM numbers(30000)",
        tag="tests",
    )
    for percent in (1, 50, 95, 99):
        [[(_, value)]] = ask(reader, T0, T0 + 1, aggregation=f"percentile_{percent}")["groups"].values()
        exact, below = (percent * 300 - 1) ** 2, (percent * 300 - 2) ** 2
        assert 0.99 * below - 1 <= value <= 1.01 * exact + 1


HOSTILE: dict[str, tuple[str, dict[str, Any], str]] = {
    "no number": (f"/1/timeseries/then/{T0}/", {}, "start"),
    "a fraction": (f"/1/timeseries/{T0}.5/{T0 + 9}/", {}, "start"),
    "negative": (f"/1/timeseries/-1/{T0}/", {}, "start"),
    "long ago": (f"/1/timeseries/1/{T0}/", {}, "start"),
    "milliseconds": (f"/1/timeseries/{T0}/{T0}000/", {}, "end"),
    "backwards": (f"/1/timeseries/{T0}/{T0 - 1}/", {}, "end"),
    "another value": (f"/1/timeseries/{T0}/{T0}/", {"value": "bytes"}, "value"),
    "no aggregation": (f"/1/timeseries/{T0}/{T0}/", {"aggregation": "median"}, "aggregation"),
    "percentile 0": (f"/1/timeseries/{T0}/{T0}/", {"aggregation": "percentile_0"}, "aggregation"),
    "percentile 100": (f"/1/timeseries/{T0}/{T0}/", {"aggregation": "percentile_100"}, "aggregation"),
    "percentile of half": (f"/1/timeseries/{T0}/{T0}/", {"aggregation": "percentile_99.9"}, "aggregation"),
    "no width": (f"/1/timeseries/{T0}/{T0}/", {"granularity": "0"}, "granularity"),
    "month": (f"/1/timeseries/{T0}/{T0}/", {"granularity": "month"}, "granularity"),
    "too fine": (f"/1/timeseries/{T0}/{T0 + 10001}/", {"granularity": "second"}, "granularity"),
    "too fine by a part": (f"/1/timeseries/{T0 + 1}/{T0 + 1 + 600_000}/", {"granularity": "minute"}, "granularity"),
    "no group": (f"/1/timeseries/{T0}/{T0}/", {"group": "response_us"}, "group"),
    "two groups": (f"/1/timeseries/{T0}/{T0}/", {"group": ["url", "method"]}, "group"),
    "no field": (f"/1/timeseries/{T0}/{T0}/", {"include": "user_id:1"}, "include"),
    "no colon": (f"/1/timeseries/{T0}/{T0}/", {"include": "method"}, "include"),
    "no status": (f"/1/timeseries/{T0}/{T0}/", {"include": "status_code:ok"}, "include"),
    "too many": (f"/1/timeseries/{T0}/{T0}/", {"include": [f"url:{n}" for n in range(101)]}, "include"),
}


@pytest.mark.parametrize(("path", "query", "named"), HOSTILE.values(), ids=HOSTILE)
def test_a_malformed_query_is_refused_by_field(path: str, query: dict[str, Any], named: str, reader: APIClient) -> None:
    answer = reader.get(path, query)
    assert answer.status_code == 400, answer.content
    assert named in answer.json()["error"]


def test_excess_groups_are_merged_into_one(sender: APIClient, reader: APIClient, settings: Any) -> None:
    settings.APINALYTICS_MAX_GROUPS = 3
    sizes = {"/a": 5, "/b": 4, "/c": 3, "/d": 2, "/e": 2, "__other__": 9}
    send(sender, *(event(url=url, response_us=n) for url, size in sizes.items() for n in range(size)))
    answer = reader.get(f"/1/timeseries/{T0}/{T0 + 1}/", {"group": "url"})
    assert answer.headers["X-Groups-Left-Out"] == "true"
    assert answer.json()["groups"] == {"/a": [[T0, 5]], "/b": [[T0, 4]], "/c": [[T0, 3]], "__other__": [[T0, 13]]}
    assert list(answer.json()["groups"])[-1] == "__other__"
    largest = reader.get(f"/1/timeseries/{T0}/{T0 + 1}/", {"group": "url", "aggregation": "max"})
    assert largest.json()["groups"]["__other__"] == [[T0, 8]]
    assert "X-Groups-Left-Out" not in reader.get(f"/1/timeseries/{T0}/{T0 + 1}/", {"group": "method"}).headers
    settings.APINALYTICS_MAX_GROUPS = 10  # except a group with the name of the rest
    all_told = reader.get(f"/1/timeseries/{T0}/{T0 + 1}/", {"group": "url"})
    assert all_told.json()["groups"].keys() == sizes.keys()
    assert "X-Groups-Left-Out" not in all_told.headers


def test_a_query_that_costs_too_much_is_refused_with_advice(
    events: list[dict[str, Any]], reader: APIClient, settings: Any
) -> None:
    settings.APINALYTICS_MAX_POINTS = 10
    assert "granularity" in ask(reader, T0, T0 + 8000, 422, granularity="minute")["error"]
    settings.APINALYTICS_MAX_ROWS = 100
    assert "shorter" in ask(reader, T0, T0 + 8000, 422)["error"]


def test_the_dashboard_s_empty_parameters_are_absent(events: list[dict[str, Any]], reader: APIClient) -> None:
    empty = dict.fromkeys(("value", "group", "granularity", "aggregation", "include"), "")
    assert ask(reader, T0, T0 + 8000, **empty) == ask(reader, T0, T0 + 8000)
    bracketed = {**empty, "include[]": ["method:GET"]}
    assert ask(reader, T0, T0 + 8000, **bracketed) == ask(reader, T0, T0 + 8000, include="method:GET")


def test_a_list_may_be_written_as_php_and_other_clients_do(events: list[dict[str, Any]], reader: APIClient) -> None:
    values = ["method:GET", "method:PUT", "status_code:200"]
    expected = ask(reader, T0, T0 + 8000, include=values)
    numbered = {f"include[{index}]": value for index, value in enumerate(values)}
    assert ask(reader, T0, T0 + 8000, **numbered) == expected
    assert ask(reader, T0, T0 + 8000, **{"include[]": values[:1], "include": values[1:]}) == expected
    assert ask(reader, T0, T0 + 8000) != expected


def test_a_time_series_can_be_had_as_csv(sender: APIClient, reader: APIClient) -> None:
    send(sender, event(), event(method="PUT", timestamp=T0 + 60))
    query = {"group": "method", "granularity": "minute", "format": "csv"}
    lines = reader.get(f"/1/timeseries/{T0}/{T0 + 100}/", query).content.decode("utf-8-sig").splitlines()
    assert lines == ["group,timestamp,value", f"GET,{T0},1", f"PUT,{T0 + 60},1"]


# --- export ----------------------------------------------------------------------------------------------------------


def test_an_owner_exports_all_events_in_order_page_by_page(
    events: list[dict[str, Any]],
    application: tuple[Application, applications.Keys],
    alice: User,
    client_for: Callable[..., APIClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("analytics.apinalytics.reads.PAGE", 7)
    answer = client_for(alice).get(f"/applications/{application[0].published_id}/export")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]  # type: ignore[attr-defined]
    assert [line["timestamp"] for line in lines] == sorted(line["timestamp"] for line in lines)
    keys = [key for key in lines[0] if key != "cursor"]
    found = [{key: line[key] for key in keys} for line in lines]
    sent = [{key: one[key] for key in keys} for one in events]
    assert sorted(map(str, found)) == sorted(map(str, sent))


def test_an_interrupted_export_continues_after_any_of_its_lines(
    sender: APIClient,
    application: tuple[Application, applications.Keys],
    alice: User,
    client_for: Callable[..., APIClient],
) -> None:
    send(sender, *(event(timestamp=T0 + n // 3, url=f"/{n}") for n in range(10)))  # several in the same second
    path = f"/applications/{application[0].published_id}/export"

    def export(**query: str) -> list[dict[str, Any]]:
        answer: Any = client_for(alice).get(path, query)
        return [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]

    whole = export()
    assert len(whole) == 10
    for position, line in enumerate(whole):
        assert export(cursor=line["cursor"]) == whole[position + 1 :]
    for cursor in ("x", whole[0]["cursor"] + "0", f"{2**32}{whole[0]['cursor'][10:]}", "\0", "9" * 500):
        assert client_for(alice).get(path, {"cursor": cursor}).status_code == 400


def test_an_account_runs_two_exports_at_once(
    events: list[dict[str, Any]],
    application: tuple[Application, applications.Keys],
    alice: User,
    client_for: Callable[..., APIClient],
) -> None:
    path = f"/applications/{application[0].published_id}/export"
    first, second = (client_for(alice).get(path) for _ in range(2))
    refused = client_for(alice).get(path)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "10")
    assert [len(b"".join(answer.streaming_content)) > 0 for answer in (first, second)] == [True, True]  # type: ignore[attr-defined]
    third = client_for(alice).get(path)
    assert third.status_code == 200
    assert b"".join(third.streaming_content)  # type: ignore[attr-defined]


def test_an_export_is_bounded_and_the_owner_s_alone(
    events: list[dict[str, Any]],
    application: tuple[Application, applications.Keys],
    alice: User,
    bob: User,
    client_for: Callable[..., APIClient],
) -> None:
    path = f"/applications/{application[0].published_id}/export"
    since, until = (datetime.fromtimestamp(T0 + n, UTC).isoformat() for n in (100, 4000))
    answer: Any = client_for(alice).get(path, {"from": since, "to": until})
    found = b"".join(answer.streaming_content).splitlines()
    assert len(found) == sum(T0 + 100 <= one["timestamp"] < T0 + 4000 for one in events)
    assert client_for(bob).get(path).status_code == 404
    for query in ({"from": "then"}, {"from": "2026-01-02", "to": "2026-01-01"}):
        assert client_for(alice).get(path, query).status_code == 400
    since, until = (f"{datetime.fromtimestamp(T0 + n, UTC):%Y-%m-%dT%H:%M:%S}.5Z" for n in (100, 4000))
    answer = client_for(alice).get(path, {"from": since, "to": until})
    found = b"".join(answer.streaming_content).splitlines()
    assert len(found) == sum(T0 + 100 < one["timestamp"] <= T0 + 4000 for one in events)
    with engine_unavailable():
        assert client_for(alice).get(path).status_code == 503
