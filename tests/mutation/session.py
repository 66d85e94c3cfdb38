"""The mutants of one module, in Cosmic Ray's SQLite file: each result is stored there as soon as its test ends.

Run as ``python -m tests.mutation.session MODULE FILE [--again]`` in a copy of the tree, which is mutated in place.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import importlib
import json
import os
import sys
import tomllib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code, use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.util import restore_contents
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult

from tests.mutation import operators, processes, selection

TABLE: Final = Path(__file__).with_name("modules.toml")
EQUIVALENT: Final = Path(__file__).with_name("equivalent.toml")
PYTEST: Final = (
    *("-n", "0", "-x", "-q", "--ff", "--reuse-db", "-p", "tests.mutation.startup", "--hypothesis-profile=mutants"),
    *("-p", "no:anyio", "-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
OUTPUT: Final = Path("output")
RECORD: Final = Path("record.json")
# Imports that take most of the start and are the same for all mutants. Nothing of the project, and not chDB, which must
# not be loaded in a process that forks.
PRELOADED: Final = (
    *("hypothesis.stateful", "xdist.plugin", "pytest_django.plugin", "_hypothesis_pytestplugin"),
    *("django.test", "django.core.management", "django.contrib.postgres.fields", "django.db.backends.sqlite3.base"),
    *("django.core.mail", "django.contrib.auth.hashers", "django.middleware.csrf", "django.utils.feedgenerator"),
    *("rest_framework", "celery.app", "psycopg", "redis", "pyarrow.compute", "requests", "msgspec", "execnet"),
    *("prometheus_client", "cryptography.fernet", "markdown", "aiosmtpd.controller", "maxminddb", "django_countries"),
)
# A mutant hangs if its tests use this many times the CPU time that they need without it, plus this much.
CPU_FACTOR: Final = 3
CPU_MORE: Final = 10.0
HUNG: Final = "hung"
SURVIVED: Final = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


class Mutant(NamedTuple):
    """A mutation as text: the lines it removes, the lines it adds, its result and the CPU time that took."""

    line: int
    removed: str
    added: str
    outcome: str | None
    killer: str | None
    cpu_seconds: float

    def __str__(self) -> str:
        return f"line {self.line}:\n    - {self.removed}\n    + {self.added}"


def tests_by_module() -> dict[str, list[str]]:
    """Repository-relative paths: module -> the tests that concern it, those that fail soonest first."""
    table: dict[str, dict[str, list[str]]] = tomllib.loads(TABLE.read_text())
    return table["modules"]


def equivalents(module: str) -> set[tuple[str, str]]:
    """(removed, added) of the mutants that no test can kill; the file gives the reason for each."""
    table: dict[str, list[dict[str, str]]] = tomllib.loads(EQUIVALENT.read_text())
    return {(each["removed"], each["added"]) for each in table.get("mutants", []) if each["module"] == module}


def file_of(directory: Path, module: str) -> Path:
    """The session of the module's current source; a change of the source or of the operators starts another."""
    seed = Path(module).read_bytes() + Path(operators.__file__).read_bytes()
    return directory / f"{module.replace('/', '.')}-{hashlib.sha256(seed).hexdigest()[:8]}.sqlite"


def mutants(file: Path) -> list[Mutant]:
    """The mutants of a session that were not left out, in the order of their lines; without an outcome if untested."""
    with use_db(file, WorkDB.Mode.open) as session:
        results = dict(session.results)
        found = []
        for item in session.work_items:
            result = results.get(item.job_id)
            if result is None or result.worker_outcome != WorkerOutcome.SKIPPED:
                found.append(_mutant(item.mutations[0].start_pos[0], result))
    return sorted(found, key=lambda mutant: mutant.line)


def _mutant(line: int, result: WorkResult | None) -> Mutant:
    if result is None:
        return Mutant(line, "", "", None, None, 0.0)
    killer, seconds = json.loads(result.output or "[null, 0]")
    removed, added = _changed_lines(result.diff)
    return Mutant(line, removed, added, result.test_outcome.value if result.test_outcome else None, killer, seconds)


def _changed_lines(diff: str | None) -> tuple[str, str]:
    # The first two lines name the files.
    lines = (diff or "").splitlines()[2:]
    return _joined(lines, "-"), _joined(lines, "+")


def _joined(lines: Iterable[str], sign: str) -> str:
    return " ".join(line[1:].strip() for line in lines if line.startswith(sign))


def begin(module: str, file: Path) -> None:
    """Creates the session unless it exists. A process that dies meanwhile leaves none."""
    if file.exists():
        return
    unfinished = file.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with use_db(unfinished) as session:
        init([Path(module)], session, {})
        wanted = _distinct(session.work_items, Path(module).read_text())
        left_out = [item.job_id for item in session.work_items if item.job_id not in wanted]
        session.set_multiple_results(left_out, WorkResult(WorkerOutcome.SKIPPED))
    unfinished.rename(file)


def _distinct(items: Iterable[WorkItem], code: str) -> set[str]:
    """The jobs of the chosen operators whose mutants are valid Python and differ from the code and from each other."""
    jobs: dict[str | None, str] = {}
    for item in items:
        mutation = item.mutations[0]
        if mutation.operator_name in operators.CHOSEN:
            operator = get_operator(mutation.operator_name)(**mutation.operator_args)
            jobs.setdefault(operators.meaning(mutate_code(code, operator, mutation.occurrence)), item.job_id)
    return {job for meaning, job in jobs.items() if meaning not in (None, operators.meaning(code))}


def forget_survivors(module: str, file: Path) -> None:
    """Makes the next run test again the mutants that survived and are not known to be equivalent."""
    known = equivalents(module)
    with use_db(file, WorkDB.Mode.open) as session:
        again = [
            job_id
            for job_id, result in session.results
            if result.test_outcome not in (None, TestOutcome.KILLED) and _changed_lines(result.diff) not in known
        ]
        with session._engine.begin() as connection:
            for job_id in again:
                connection.exec_driver_sql("DELETE FROM work_results WHERE job_id = ?", (job_id,))


def run(module: str, tests: list[str], file: Path) -> None:
    """Tests every mutant without a result, in the order of lines. The tests must pass without a mutation first."""
    with use_db(file, WorkDB.Mode.open) as session:
        pending = sorted(session.pending_work_items, key=lambda item: item.mutations[0].start_pos)
        if not pending:
            return
        for name in PRELOADED:
            importlib.import_module(name)
        code = Path(module).read_text()
        with restore_contents(Path(module)):
            Path(module).write_text(selection.telling(code))
            ending = processes.run(partial(_pytest, tests, partial(selection.Recorder, RECORD)))
        if ending.code:
            sys.exit(f"{module}: its tests fail without a mutation\n{OUTPUT.read_text()}")
        print(f"{module}: {len(pending)} mutants; its tests use {ending.cpu_seconds:.1f} s of CPU time", flush=True)
        # Bytecode of a mutant must not be used for the next one.
        sys.dont_write_bytecode = True
        parent = os.getppid()
        record = selection.read(RECORD)
        for item in pending:
            mutation = item.mutations[0]
            concerned = record.tests_of(selection.scope_of(mutation.start_pos[0], code))
            cpu_limit = CPU_MORE + CPU_FACTOR * sum(record.seconds[test] for test in concerned)
            session.set_result(item.job_id, _result(mutation, concerned, cpu_limit))
            if os.getppid() != parent:
                return


def _result(mutation: MutationSpec, tests: list[str], cpu_limit: float) -> WorkResult:
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    with use_mutation(mutation.module_path, operator, mutation.occurrence) as (before, after):
        files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
        ending = (
            processes.run(partial(_pytest, files, partial(selection.Selection, tests)), cpu_limit) if tests else None
        )
    diff = "\n".join(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0))
    if ending is None or ending.code in SURVIVED:
        outcome, killer = TestOutcome.SURVIVED, None
    else:
        outcome, killer = TestOutcome.KILLED, HUNG if ending.code is None else _failed()
    output = json.dumps((killer, round(ending.cpu_seconds, 2) if ending else 0))
    return WorkResult(WorkerOutcome.NORMAL, output=output, test_outcome=outcome, diff=diff)


def _failed() -> str:
    """The test that failed, or pytest's output about the start that did."""
    lines = OUTPUT.read_text(errors="replace").splitlines()
    failures = [line.split()[1] for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return (failures or lines or [""])[-1]


def _pytest(paths: list[str], plugin: Callable[[], object]) -> None:
    output = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.exit(pytest.main([*PYTEST, *paths], plugins=[plugin()]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module")
    parser.add_argument("file", type=Path)
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    operators.register()
    begin(options.module, options.file)
    if options.again:
        forget_survivors(options.module, options.file)
    run(options.module, tests_by_module()[options.module], options.file)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
