"""The cost of a caller's text grows at most linearly: twice the text takes at most twice the steps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from itertools import product
from pkgutil import walk_packages
from typing import Any, Final

import pytest
from django.http import QueryDict
from fonproxy_agent.squid import lines

from analytics.apinalytics import masking
from analytics.apinalytics.masking import masked
from fonproxy import hostnames, timerange
from fonproxy.api import renderers, search
from fonproxy.api.errors import InvalidInput, OutOfRange
from fonproxy.timerange import InvalidTime
from tests.steps import instructions, literals, spans, steps_to_match, steps_to_search

PACKAGES: Final = (
    "fonproxy",
    "accounts",
    "orders",
    "geo",
    "analytics",
    "usage",
    "dashboard",
    "console",
    "fonproxy_agent",
)
SECRETS: Final = ("token", "password", "key")
# Every other pattern is only ever matched from the start of a text.
SEARCHED: Final = {
    id(pattern)
    for pattern in (
        masking._SEGMENT,
        masking._QUERY_OR_FRAGMENT,
        masking._FIELD,
        masking._BARE_NAME,
        masking._WORD,
        masking._INVISIBLE,
        hostnames.DOTS,
        search.WILDCARDS,
        renderers.SPLIT,
        lines._HEADERS,
        lines._CUT_HEADERS,
        lines._ESCAPE,
    )
}
# They read our own SQL, and the engine's messages.
OURS: Final = ("fonproxy.clickhouse", "fonproxy.env", "analytics.schema")
SHORT: Final = 20
ALLOWED: Final = 2.3  # steps of a text twice as long, plus a constant
CONSTANT: Final = 100


def _patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    seen: set[int] = set()
    for package in map(import_module, PACKAGES):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.startswith(OURS) or ".migrations" in module.name or ".management" in module.name:
                continue
            for name, value in vars(import_module(module.name)).items():
                if isinstance(value, re.Pattern) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{module.name}.{name}", value


PATTERNS: Final = dict(_patterns())


def _characters(pattern: re.Pattern[Any]) -> list[str]:
    """Characters that matter to the pattern: those that it names, and one of each common kind."""
    return [*dict.fromkeys(["a", "1", " ", *sorted(literals(pattern), key=str.isalnum)])][:10]


def _units(characters: list[str]) -> Iterator[str]:
    for length in (1, 2):
        yield from map("".join, product(characters, repeat=length))


def assert_linear(cost: Callable[[str], int], unit: str, prefix: str = "", suffix: str = "") -> None:
    short = cost(prefix + unit * SHORT + suffix)
    long = cost(prefix + unit * SHORT * 2 + suffix)
    assert long <= ALLOWED * short + CONSTANT, (prefix, unit, suffix, short, long)


@pytest.mark.parametrize("name", PATTERNS)
def test_every_regular_expression_is_linear_in_the_text(name: str) -> None:
    pattern = PATTERNS[name]
    count = steps_to_search if id(pattern) in SEARCHED else steps_to_match
    characters = _characters(pattern)
    for prefix in ("", *(character * 2 for character in characters[3:8])):
        for unit in _units(characters):
            assert_linear(lambda text: count(pattern, text), unit, prefix, "\x02")


def _masked(text: str) -> object:
    return masked(text, SECRETS)


def _searched(text: str) -> object:
    query = QueryDict(mutable=True)
    query.update({"like_name": text[:255], "min_at": text, "sort_by": text, text[:100]: text, "per_page": text})
    with suppress(InvalidInput, OutOfRange):
        return search.parse(query, {"name": search.TEXT, "at": search.MOMENT})
    return None


def _time(text: str) -> object:
    with suppress(InvalidTime):
        return timerange.parse_instant(text)
    return None


PARSERS: Final[dict[str, Callable[[str], object]]] = {
    "masking": _masked,
    "search": _searched,
    "a like pattern": lambda text: search.chosen(text, ["residential", "e" * 30]),
    "a time": _time,
    "a log line": lambda text: lines.parse(b"1767225600.000 1 192.0.2.1 TCP_TUNNEL/200 9 " + text.encode() + b"\n"),
    "a host name": lambda text: hostnames.normalized(text),
}
UNITS: Final = [
    "%25",
    "%",
    "%2525",
    "//",
    "//a:",
    "a:",
    ":a@",
    "/",
    "?",
    "&",
    "=",
    "a=",
    "token=%26",
    "A",
    "Aa",
    "\\",
    " ",
    "2026-",
    "%e",
]


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.parametrize("prefix", ["", "@?", "//", "/a?token="])
def test_every_parser_is_linear_in_the_text(name: str, prefix: str) -> None:
    parse = PARSERS[name]
    parse("warm up: what is imported or cached once does not count")
    for unit in UNITS:
        for suffix in ("", "@", "%", "x"):
            assert_linear(lambda text: instructions(lambda: parse(text)), unit, prefix, suffix)


def test_deeply_nested_urls_are_masked() -> None:
    nested = "/a?x=%" + "25" * 4000 + "26token=S"
    assert "S" not in masked(nested, SECRETS)


# --- the counters themselves ---


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(a|b)*c", "ababcabc"),
        (r"\b\w+?\b", "some words"),
        (r"[^@]*@|x{2,3}", "a@b@xxxx"),
        (r"a(?=b)|(?!c).$", "abacd"),
        (r"(?:ab?)+", "aabab ab"),
    ],
)
def test_the_step_counter_matches_as_the_engine_does(pattern: str, text: str) -> None:
    assert spans(re.compile(pattern), text)[0] == [match.span() for match in re.finditer(pattern, text)]


def test_the_step_counter_finds_quadratic_patterns() -> None:
    for pattern in (r"a+b", r"a*a*b", r"(?:a|a1)*x"):
        with pytest.raises(AssertionError):
            assert_linear(lambda text, p=re.compile(pattern): steps_to_search(p, text), "a")  # type: ignore[misc]
