from __future__ import annotations

from typing import Any

import pytest
from cosmic_ray.mutating import mutate_code

from tests.mutation.operators import RemoveArgument, RemoveStatement, meaning


def all_of(operator: Any, code: str) -> list[str]:
    """Every mutant of the code."""
    mutants: list[str] = []
    while (mutant := mutate_code(code, operator, len(mutants))) is not None:
        mutants.append(mutant)
    return mutants


@pytest.mark.parametrize(
    ("code", "mutants"),
    [
        ("if a:\n    f(x)\n", ["if a:\n    pass\n"]),
        ("x.y = 1\n", ["pass\n"]),
        ("x[0] = 1\n", ["pass\n"]),
        ("x += 1\n", ["pass\n"]),
        ("raise Error\n", ["pass\n"]),
        ("x = f()\n", []),
        ('"""A docstring."""\n', []),
    ],
)
def test_statements_with_an_effect_are_removed(code: str, mutants: list[str]) -> None:
    assert all_of(RemoveStatement(), code) == mutants


@pytest.mark.parametrize(
    ("code", "mutants"),
    [
        ("f(a, b=1)\n", ["f(a)\n"]),
        ("f(b=1)\n", ["f()\n"]),
        ("f(b=1, c=2)\n", ["f( c=2)\n", "f(b=1)\n"]),
        ("f(a, *b, **c)\n", []),
        ("x[a]\n", []),
    ],
)
def test_keyword_arguments_are_removed_one_at_a_time(code: str, mutants: list[str]) -> None:
    assert all_of(RemoveArgument(), code) == mutants


@pytest.mark.parametrize(
    ("code", "same"),
    [
        ("if not a == b: f()", "if a != b: f()"),
        ("if not a < b: f()", "if a >= b: f()"),
        ("if not not a: f()", "if a: f()"),
        ("def f(a, *, b=1): pass", "def f(a, /, b=1): pass"),
        ("@dataclass(frozen=True, slots=True)\nclass A: pass", "@dataclass(frozen=False)\nclass A: pass"),
        ("def f(a: int | None) -> int | None:\n    b: int | None = a", "def f(a: int & None) -> int:\n    b: str = a"),
    ],
)
def test_equal_mutants_are_recognized(code: str, same: str) -> None:
    assert meaning(code) == meaning(same)


@pytest.mark.parametrize("other", ["if a: f(2)", "if not a: f(1)", "if a < 1: f(1)", "if a: f(b=1)"])
def test_different_mutants_are_recognized(other: str) -> None:
    assert meaning("if a: f(1)") != meaning(other)


def test_invalid_python_has_no_meaning() -> None:
    assert meaning("while not a := f(): pass") is None
