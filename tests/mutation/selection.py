"""Which tests run the function that a mutant changes. The others cannot fail because of it and are left out."""

from __future__ import annotations

import ast
import json
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

NEW_PROCESS: Final = ("subprocess.Popen", "os.fork", "os.posix_spawn")
# Tests that take longer than this, in CPU time, run after all others; those that take much longer are left out.
SLOW_SECONDS: Final = 0.5
LONG_SECONDS: Final = 5.0
FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)

recorder: Recorder | None = None


class Record(NamedTuple):
    """What a run of all tests recorded. A test is named without its parameters, which may depend on the module."""

    # The CPU time of each test, in the order in which they ran.
    seconds: dict[str, float]
    # The tests that call a function, by its first line.
    callers: dict[int, list[str]]
    # Tests that start other processes, in which any function may be called.
    opaque: list[str]

    def tests_of(self, scope: range | None) -> list[str]:
        """The tests that call a function on these lines, quick ones first; all tests if no lines are given."""
        concerned = {
            *self.opaque,
            *(test for line, tests in self.callers.items() if scope and line in scope for test in tests),
        }
        quick = [test for test, seconds in self.seconds.items() if seconds < LONG_SECONDS]
        tests = [test for test in quick if scope is None or test in concerned]
        return sorted(tests, key=lambda test: self.seconds[test] > SLOW_SECONDS)


def read(file: Path) -> Record:
    seconds, callers, opaque = json.loads(file.read_text())
    return Record(seconds, {int(line): tests for line, tests in callers.items()}, opaque)


def scope_of(line: int, code: str) -> range | None:
    """The lines of the innermost function whose body contains this line; None for code that an import runs."""
    around = [
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, FUNCTIONS) and node.body[0].lineno <= line <= (node.end_lineno or 0)
    ]
    if not around:
        return None
    innermost = max(around, key=lambda node: node.lineno)
    return range(_first_line(innermost), (innermost.end_lineno or 0) + 1)


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return min(part.lineno for part in (node, *node.decorator_list))


def telling(code: str) -> str:
    """The code with functions that report each call to the recorder: tracing all calls would take twice the time."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            call = ast.parse(f"__import__({__name__!r}, fromlist=['']).called({_first_line(node)})").body
            at = 0 if ast.get_docstring(node, clean=False) is None else 1
            node.body[at:at] = call
    return ast.unparse(tree)


def called(line: int) -> None:
    if recorder is not None:
        recorder.called(line)


class Recorder:
    """A pytest plugin that writes a record to a file."""

    def __init__(self, file: Path) -> None:
        global recorder
        recorder = self
        self._file = file
        self._items: Sequence[Any] = ()
        # Who the calls count for: the running test, those that share a fixture, or every test.
        self._tests: frozenset[str] | None = None
        self._seconds: dict[str, float] = {}
        self._callers: dict[int, set[str] | None] = {}
        self._opaque: set[str] = set()
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in NEW_PROCESS:
            self._opaque.update(self._tests or ())

    def called(self, line: int) -> None:
        if self._tests is None:
            self._callers[line] = None
        elif (known := self._callers.setdefault(line, set())) is not None:
            known.update(self._tests)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._items = session.items

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        test, began = name(item), time.process_time()
        self._tests = frozenset((test,))
        result = yield
        self._seconds[test] = self._seconds.get(test, 0.0) + time.process_time() - began
        self._tests = None
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        before = self._tests
        if before is not None and fixturedef.scope != "function":
            self._tests = before | {name(item) for item in self._items if fixturedef.argname in item.fixturenames}
        try:
            return (yield)
        finally:
            self._tests = before

    def pytest_sessionfinish(self) -> None:
        everyone = list(self._seconds)
        callers = {line: everyone if tests is None else sorted(tests) for line, tests in self._callers.items()}
        self._file.write_text(json.dumps((self._seconds, callers, sorted(self._opaque))))


class Selection:
    """A pytest plugin that leaves only these tests, in this order."""

    def __init__(self, tests: Collection[str]) -> None:
        self._rank = {test: number for number, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((item for item in items if name(item) in self._rank), key=lambda item: self._rank[name(item)])


def name(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]
