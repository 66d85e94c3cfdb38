from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from tests.mutation import processes

pytestmark = pytest.mark.processes


def test_the_exit_code_and_the_cpu_time_of_all_processes_are_known() -> None:
    def work() -> None:
        subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
        sys.exit(3)

    ending = processes.run(work)
    assert ending.code == 3
    assert ending.cpu_seconds >= 0.3


def test_a_process_is_ended_when_it_exceeds_its_cpu_limit() -> None:
    def work() -> None:
        while True:
            pass

    ending = processes.run(work, cpu_limit=0.1)
    assert ending.code is None
    assert ending.cpu_seconds >= 0.1


def test_a_process_is_ended_when_it_stays_idle() -> None:
    def work() -> None:
        threading.Event().wait()

    assert processes.run(work, cpu_limit=60, idle_looks=2).code is None


def test_a_slow_process_that_works_is_not_ended() -> None:
    def work() -> None:
        for _ in range(40):
            began = time.process_time()
            while time.process_time() < began + 0.02:
                pass
            time.sleep(0.1)

    assert processes.run(work, cpu_limit=60, idle_looks=2).code == 0


def test_children_of_a_hanging_process_end_with_it() -> None:
    read, write = os.pipe()

    def work() -> None:
        subprocess.run(["sleep", "infinity"], pass_fds=[write], check=True)

    assert processes.run(work, cpu_limit=60, idle_looks=1).code is None
    os.close(write)
    assert os.read(read, 1) == b""  # every process that could write has ended
    os.close(read)
