"""``make mutants``: changes the modules with the most important rules, one place at a time, and checks whether a test
fails.

python -m tests.mutation [--workers 4] [--again] [--report] [MODULE ...]

Each worker mutates a copy of the tree. After an interruption, the next run continues where it stopped.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Final

import tests.isolation  # noqa: F401  # temporary files in memory
from tests.mutation import session

ROOT: Final = Path(__file__).parents[2]
SESSIONS: Final = ROOT / ".mutants"
WANTED_PERCENT: Final = 95


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as usage/periods.py; without any, all")
    parser.add_argument("--workers", type=int, default=4, help="default 4, because tests also wait")
    parser.add_argument("--again", action="store_true", help="test survivors again, after tests were added")
    parser.add_argument("--report", action="store_true", help="print the results so far and run nothing")
    options = parser.parse_args()
    os.chdir(ROOT)
    table = session.tests_by_module()
    if unknown := set(options.modules) - set(table):
        parser.error(f"not in {session.TABLE.relative_to(ROOT)}: {', '.join(sorted(unknown))}")
    SESSIONS.mkdir(exist_ok=True)
    modules = options.modules or list(table)
    failed = False if options.report else _run(modules, options.workers, options.again)
    scores = [_report(module) for module in modules]
    return int(failed or not all(scores))


def _run(modules: list[str], workers: int, again: bool) -> bool:
    """Whether a session failed or was interrupted."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for module in modules:
        waiting.put(module)
    failed = threading.Event()
    with tempfile.TemporaryDirectory(prefix="fonproxy-mutants-") as name:
        template = Path(name, "template")
        _migrate(template)
        threads = [
            threading.Thread(target=_work, args=(_copy(Path(name, str(number))), template, waiting, again, failed))
            for number in range(workers)
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            failed.set()
            print("interrupted: the same command goes on from here")
            for thread in threads:
                thread.join()
    return failed.is_set()


def _migrate(template: Path) -> None:
    template.mkdir()
    environment = os.environ | {"FONPROXY_DATA_DIR": str(template)}
    for command in ("migrate", "clickhouse_migrate"):
        subprocess.run([sys.executable, "manage.py", command], env=environment, check=True, stdout=subprocess.DEVNULL)


def _copy(tree: Path) -> Path:
    """Copies the files that git tracks or would add, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True, capture_output=True
    )
    for path in filter(None, listed.stdout.decode().split("\0")):
        if Path(path).is_file():
            Path(tree, path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, tree / path)
    return tree


def _work(tree: Path, template: Path, waiting: queue.SimpleQueue[str], again: bool, failed: threading.Event) -> None:
    while not failed.is_set():
        try:
            module = waiting.get_nowait()
        except queue.Empty:
            return
        command = [sys.executable, "-m", "tests.mutation.session", module, str(session.file_of(SESSIONS, module))]
        # Killed tests leave their files there.
        environment = os.environ | {"MIGRATED_TEST_DATA": str(template), "TMPDIR": str(template.parent)}
        if subprocess.run([*command, *["--again"] * again], cwd=tree, env=environment, check=False).returncode:
            failed.set()


def _report(module: str) -> bool:
    """Prints a module's score and its survivors; returns whether the score is high enough."""
    file = session.file_of(SESSIONS, module)
    if not file.exists():
        print(f"{module}: not run")
        return False
    mutants = session.mutants(file)
    known = session.equivalents(module)
    equivalent = [each for each in mutants if each.outcome == "survived" and (each.removed, each.added) in known]
    tested = [each for each in mutants if each.outcome is not None and each not in equivalent]
    killed = [each for each in tested if each.outcome == "killed"]
    untested = sum(each.outcome is None for each in mutants)
    score = 100 * len(killed) / len(tested) if tested else 0.0
    hung = sum(each.killer == session.HUNG for each in killed)
    seconds = sum(each.cpu_seconds for each in mutants)
    print(
        f"{module}: {len(mutants)} mutants, {len(killed)} killed ({hung} of them hung),"
        f" {len(tested) - len(killed)} survived, {len(equivalent)} equivalent, {untested} not tested: {score:.1f} %,"
        f" {seconds:.0f} s of CPU time"
    )
    for each in tested:
        if each.outcome != "killed":
            print(f"  {each.outcome}, {each}")
    return score >= WANTED_PERCENT and not untested


if __name__ == "__main__":
    sys.exit(main())
