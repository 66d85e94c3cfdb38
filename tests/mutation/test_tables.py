from __future__ import annotations

import tomllib
from pathlib import Path

from tests.mutation import session

ROOT = Path(__file__).parents[2]


def test_modules_and_their_tests_exist() -> None:
    table = session.tests_by_module()
    paths = [*table, *(path for tests in table.values() for path in tests)]
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_equivalent_mutants_are_of_lines_that_exist_and_have_a_reason() -> None:
    for mutant in tomllib.loads(session.EQUIVALENT.read_text())["mutants"]:
        source = " ".join(line.strip() for line in (ROOT / mutant["module"]).read_text().splitlines())
        assert mutant["module"] in session.tests_by_module()
        assert mutant["removed"] in source
        assert mutant["reason"]
