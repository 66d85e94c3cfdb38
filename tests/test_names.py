"""A name means one thing in the whole repository."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

from tests.serving import ROOT

DIRECTORIES = [
    *["accounts", "agent", "analytics", "bench", "clients", "console", "dashboard", "demo", "fonproxy"],
    *["geo", "orders", "tests", "usage"],
]
# Django finds these by their names.
BY_DJANGO = {"Command", "Meta", "Migration"}


def classes() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for directory in DIRECTORIES:
        for file in sorted((ROOT / directory).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ClassDef) and node.name not in BY_DJANGO:
                    found[node.name].append(file.relative_to(ROOT))
    return found


def test_no_two_classes_have_the_same_name() -> None:
    found = classes()
    assert len(found) > 500
    assert {name: files for name, files in found.items() if len(files) > 1} == {}
