"""The image runs as compose.yaml starts it, read-only and without privileges."""

from __future__ import annotations

import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.serving import ROOT, free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.image

NAME = "fonproxy-test"
# For the demo's two months of traffic on a busy machine.
START_SECONDS = 900.0
# Containers share the host's network: bridges need more than a test may change.
RUN = [
    *("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "run", "--rm", "--network=host"),
    *("--ulimit=nofile=20000:20000", "--ulimit=nproc=1000:1000"),
    # As in compose.yaml.
    *("--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--security-opt=no-new-privileges"),
]


@pytest.fixture
def served(image: str) -> Iterator[str]:
    """The address of a container that serves the demo."""
    port = free_port()
    command = ["python", "manage.py", "serve", "--demo", "--port", str(port)]
    with subprocess.Popen([*RUN, f"--name={NAME}", image, *command]) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: process.poll() is not None or _answers(f"{url}/readyz"), START_SECONDS)
            yield url
        finally:
            # The first process of a container ignores SIGTERM unless it handles it, and would then be killed.
            subprocess.run(["podman", "stop", "--time=60", NAME], check=False, capture_output=True)


def _answers(url: str) -> bool:
    with suppress(OSError):
        return bool(urllib.request.urlopen(url, timeout=5).status == 200)
    return False


def test_the_containers_user_may_write_to_its_volumes_only(image: str) -> None:
    script = "id -u; touch /data/x /tmp/x && echo written; touch /app/x || echo refused"
    ran = subprocess.run([*RUN, image, "sh", "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["10001", "written", "refused"]


def test_the_image_has_the_client_programs_of_postgresql_and_no_compiler(image: str) -> None:
    script = "for program in pg_dump pg_restore gcc cc make; do command -v $program; done; true"
    ran = subprocess.run([*RUN, image, "sh", "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["/usr/bin/pg_dump", "/usr/bin/pg_restore"]


def test_the_container_answers_the_first_calls_of_the_readme(served: str) -> None:
    told = subprocess.run(["podman", "exec", NAME, "cat", "/data/demo.env"], capture_output=True, text=True, check=True)
    keys = dict(re.findall(r"^(?:export )?(\w+)=['\"]?([^'\"\n]+)", told.stdout, re.MULTILINE))
    readme = (ROOT / "README.md").read_text()
    calls = re.findall(r"^ {4}(curl .+?)\n\n", readme, re.MULTILINE | re.DOTALL)
    assert len(calls) == 2
    said = [
        subprocess.run(["bash", "-c", call], env={**os.environ, **keys}, capture_output=True, text=True, check=True)
        for call in calls
    ]
    assert "204 No Content" in said[0].stdout
    assert '"total_bytes_received":"524800"' in said[1].stdout
