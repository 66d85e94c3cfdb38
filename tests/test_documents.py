"""The documents point at things that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from django.conf import settings

DOCUMENTS = [
    settings.BASE_DIR / "README.md",
    settings.BASE_DIR / "CONTRIBUTING.md",
    *settings.BASE_DIR.glob("docs/**/*.md"),
]
MAKEFILE = (settings.BASE_DIR / "Makefile").read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_within_the_repository_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", document.read_text(), re.MULTILINE))
    assert named <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_of_the_code_that_is_named_exists(document: Path) -> None:
    named = re.findall(r"`((?:fonproxy|accounts|geo|analytics|usage|tests|bench)/[\w/.]+\.\w+)`", document.read_text())
    assert [name for name in named if not (settings.BASE_DIR / name).exists()] == []


def test_the_workflow_can_be_read_and_runs_what_exists() -> None:
    workflow = yaml.safe_load((settings.BASE_DIR / ".github/workflows/ci.yml").read_text())
    steps = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert {step for step in steps if step.startswith((".ci", "make"))} == {".ci/run", "make test"}
    assert (settings.BASE_DIR / ".ci/run").stat().st_mode & 0o100
    images = {service["image"] for job in workflow["jobs"].values() for service in job.get("services", {}).values()}
    assert images == {"clickhouse/clickhouse-server:${{ matrix.clickhouse }}"}
