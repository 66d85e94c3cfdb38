from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.selection import Record, read, scope_of, telling

ROOT = Path(__file__).parents[2]
MODULE = """\
import functools

def imported(): return 1

def function(
    default=imported(),
):
    return [item for item in (default,)]

@functools.cache
def outer():
    def inner():
        return 2
    return inner
"""
TESTS = """\
import subprocess, sys
import module
import pytest

@pytest.fixture
def own():
    return module.function()

@pytest.fixture(scope="module")
def shared():
    return module.function()

def test_calls(): assert module.function() == [1]
def test_has_a_fixture_that_calls(own): pass
def test_creates_shared_object(shared): pass
def test_uses_shared_object(shared): pass
def test_starts_a_process(): subprocess.run([sys.executable, "-c", ""])
@pytest.mark.parametrize("value", [1, 2])
def test_calls_inner_function(value): assert module.outer()() == 2
"""
FUNCTION, OUTER, INNER = range(5, 9), range(10, 15), range(12, 14)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    Path(tmp_path, "module.py").write_text(telling(MODULE))
    Path(tmp_path, "test_module.py").write_text(TESTS)
    Path(tmp_path, "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def pytest_with(plugin: str, tree: Path) -> str:
    code = (
        "import sys, pytest; from pathlib import Path; from tests.mutation.selection import Recorder, Selection;"
        f"sys.exit(pytest.main(['-v', '-p', 'no:cacheprovider', 'test_module.py'], plugins=[{plugin}]))"
    )
    environment = os.environ | {"PYTHONPATH": f"{tree}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=tree, env=environment, check=True, capture_output=True, text=True
    ).stdout


def names(tests: list[str]) -> list[str]:
    return [test.removeprefix("test_module.py::test_") for test in tests]


def test_the_tests_of_a_function_are_those_that_call_it_or_start_a_process(tree: Path) -> None:
    pytest_with("Recorder(Path('record.json'))", tree)
    record = read(tree / "record.json")
    assert names(record.tests_of(FUNCTION)) == [
        *("calls", "has_a_fixture_that_calls", "creates_shared_object", "uses_shared_object", "starts_a_process"),
    ]
    assert names(record.tests_of(INNER)) == ["starts_a_process", "calls_inner_function"]
    assert record.tests_of(OUTER) == record.tests_of(INNER)
    assert len(record.tests_of(None)) == 6


def test_lines_that_an_import_runs_belong_to_no_function() -> None:
    scopes = {line: scope_of(line, MODULE) for line in range(1, 15)}
    assert scopes == {
        **dict.fromkeys([1, 2, 4, 5, 6, 7, 9, 10, 11]),
        3: range(3, 4),
        8: FUNCTION,
        12: OUTER,
        13: INNER,
        14: OUTER,
    }


@pytest.mark.processes
def test_functions_called_by_an_import_concern_every_test(tree: Path) -> None:
    pytest_with("Recorder(Path('record.json'))", tree)
    record = read(tree / "record.json")
    assert record.tests_of(range(3, 4)) == record.tests_of(None)


def test_slow_tests_come_last_and_those_that_take_too_long_do_not_count() -> None:
    record = Record({"a": 0.1, "b": 4.0, "c": 0.1, "d": 20.0}, {1: ["a", "b", "c", "d"]}, [])
    assert record.tests_of(range(1, 2)) == ["a", "c", "b"]


@pytest.mark.processes
def test_only_the_selected_tests_run_in_their_order_with_all_their_parameters(tree: Path) -> None:
    wanted = ["test_module.py::test_calls_inner_function", "test_module.py::test_calls"]
    output = pytest_with(f"Selection({wanted})", tree)
    passed = [line.split()[0] for line in output.splitlines() if " PASSED" in line]
    assert names(passed) == ["calls_inner_function[1]", "calls_inner_function[2]", "calls"]
