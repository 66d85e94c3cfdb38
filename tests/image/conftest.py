"""The image, built on a stand-in base, and the limits of containers on a test machine.

No registry is contacted: Debian's bookworm with its Python, made by debootstrap, replaces the Dockerfile's base. It
needs root and Debian's podman, runc, debootstrap, buildah, netavark and fuse-overlayfs. ``PODMAN_BUILD_ARGS`` holds
further arguments of the build, such as volumes with a pip configuration and certificates of your own.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import ROOT

IMAGE = "localhost/fonproxy:test"
BASE = "localhost/fonproxy-base:test"


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    for program in ("podman", "runc", "debootstrap"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None or os.geteuid() != 0:
            pytest.skip(f"needs {program}, and root")
    _make_base(tmp_path_factory.mktemp("base"))
    build(ROOT, IMAGE)
    yield IMAGE
    subprocess.run(["podman", "rmi", IMAGE], check=False)


def build(directory: Path, name: str) -> None:
    command = ["podman", "build", "--format=docker", "--isolation=chroot", "--network=host", f"--tag={name}"]
    command.append(f"--build-arg=BASE={BASE}")
    subprocess.run([*command, *shlex.split(os.environ.get("PODMAN_BUILD_ARGS", "")), directory], check=True)


def _make_base(directory: Path) -> None:
    if subprocess.run(["podman", "image", "exists", BASE], check=False).returncode == 0:
        return
    packages = "--include=python3,python3-venv,ca-certificates"
    subprocess.run(["debootstrap", "--variant=minbase", packages, "bookworm", directory], check=True)
    (directory / "usr/bin/python").symlink_to("python3")
    with subprocess.Popen(["tar", "-C", directory, "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(["podman", "import", "-", BASE], stdin=tar.stdout, check=True)
