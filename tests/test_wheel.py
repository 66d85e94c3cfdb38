"""The package without a checkout: built, installed into a new environment, and run (`make test-wheel`)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from django.conf import settings

from tests.serving import ROOT, Server, environment, with_accounts

pytestmark = pytest.mark.wheel

PACKAGES = [*(name for name in settings.INSTALLED_APPS if (ROOT / name).is_dir()), "templates"]
UNPACKED = shutil.ignore_patterns("__pycache__", "*.pyc")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=UNPACKED)
    shutil.copytree(ROOT / "docs", source / "docs")
    for name in ("pyproject.toml", "requirements.in", "README.md"):
        shutil.copy(ROOT / name, source)
    built = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", built, source], check=True)
    [file] = built.glob("fonproxy-*.whl")
    return file


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of programs of a new environment."""
    made = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", made], check=True)
    pip: list[str | Path] = [made / "bin/pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", ROOT / "requirements.txt"], check=True)
    subprocess.run([*pip, "--no-deps", wheel], check=True)
    return made / "bin"


def test_the_wheel_contains_every_file_of_the_apps_except_readmes(wheel: Path) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != "README.md"
    }
    wanted.add("docs/runbook.md")  # the console shows its advice
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == wanted


def test_the_installed_command_passes_its_checks_and_requires_a_data_directory(programs: Path, tmp_path: Path) -> None:
    checked = _run(programs, "check", FONPROXY_DATA_DIR=str(tmp_path))
    assert (checked.returncode, "no issues" in checked.stdout) == (0, True), checked.stderr
    refused = _run(programs, "check", FONPROXY_DATA_DIR="")
    assert (refused.returncode, "Set FONPROXY_DATA_DIR" in refused.stderr) == (1, True)


def _run(programs: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    variables = environment(ROOT / "var") | variables
    del variables["DJANGO_SETTINGS_MODULE"]
    return subprocess.run([programs / "fonproxy", *arguments], cwd="/", env=variables, capture_output=True, text=True)


class Installed(Server):
    """`fonproxy serve` of the new environment, from a directory that has no checkout."""

    def __init__(self, programs: Path, data_dir: Path) -> None:
        self._programs = programs
        self.directory = data_dir
        super().__init__(data_dir)

    def command(self) -> list[str]:
        return [str(self._programs / "fonproxy")]


def test_an_installed_server_has_its_pages_static_files_and_tables(programs: Path, tmp_path: Path) -> None:
    with_accounts(tmp_path / "data")
    server = Installed(programs, tmp_path / "data")
    try:
        assert server.call("GET", "/sign-in").status == 200
        assert server.call("GET", "/static/dashboard/style.css").status == 200
        assert server.call("GET", "/docs").status == 200
        assert server.get("/analytics/countries?from=2026-11-01&to=2026-11-02").status == 200
    finally:
        server.stop()
