"""The documents point at things that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from django.apps import apps
from django.conf import settings
from django.core.management import get_commands
from django.urls import get_resolver
from prometheus_client import REGISTRY

from accounts.models import Scope
from fonproxy.clickhouse import retention
from fonproxy.clickhouse.client import Client

DOCUMENTS = [
    settings.BASE_DIR / "README.md",
    settings.BASE_DIR / "CONTRIBUTING.md",
    settings.BASE_DIR / "SECURITY.md",
    *settings.BASE_DIR.glob("*/README.md"),
    *settings.BASE_DIR.glob("docs/**/*.md"),
]
# Every path of the repository by each of its ends: /a/b.py is also listed as /b.py.
PATHS = {
    "/" + "/".join(parts[start:])
    for path in settings.BASE_DIR.glob("[!.]*/**/*")
    for parts in [path.relative_to(settings.BASE_DIR).parts]
    for start in range(len(parts))
} | {f"/{path.name}" for path in settings.BASE_DIR.iterdir()}
# Files of other programs, and files that our commands write.
MADE_ELSEWHERE = {"clients.conf", "mail/", "manifest.json", "var/"}
OF_DJANGO = {"permission_classes", "throttle_classes"}
MAKEFILE = (settings.BASE_DIR / "Makefile").read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(settings.BASE_DIR)))
def test_every_link_within_the_repository_exists(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(settings.BASE_DIR)))
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", document.read_text(), re.MULTILINE))
    assert named <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(settings.BASE_DIR)))
def test_every_file_and_directory_that_is_named_exists(document: Path) -> None:
    """Named from the root, or by the end of its path if the text has named the directory."""
    named = re.findall(
        r"`([\w-][\w.-]*(?:/[\w.-]+)*(?:\.(?:py|md|sql|html|js|css|toml|ya?ml|json|conf|sh|in|txt)|/))`",
        document.read_text(),
    )
    assert [name for name in named if name not in MADE_ELSEWHERE and f"/{name}".rstrip("/") not in PATHS] == []


def test_every_command_is_documented_and_every_command_that_is_named_exists() -> None:
    ours = {name for name, app in get_commands().items() if (settings.BASE_DIR / str(app)).is_dir()}
    text = "\n".join(document.read_text() for document in DOCUMENTS)
    named = set(re.findall(r"(?:manage\.py|fonproxy) ([a-z_]+)", text))
    assert ours - named == set()
    assert set(re.findall(r"manage\.py ([a-z_]+)", text)) <= set(get_commands())


def recipes() -> list[str]:
    text = (settings.BASE_DIR / "CONTRIBUTING.md").read_text().split("\n## Recipes\n", 1)[1].split("\n## Rules", 1)[0]
    return [line for line in text.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.split("|")[1].strip())
def test_every_name_in_a_recipe_is_in_its_files(recipe: str) -> None:
    files = re.findall(r"`([\w/.-]+\.(?:py|md|json|html))`", recipe)
    paths = {path for name in files for path in settings.BASE_DIR.glob(f"[!.]*/**/{Path(name).name}")}
    code = "\n".join(path.read_text() for path in paths)
    named = [name for name in re.findall(r"`([A-Za-z_]\w*)(?:\([^`]*\))?`", recipe) if re.search(r"[A-Z_]", name)]
    assert [name for name in named if name not in OF_DJANGO and not re.search(rf"\b{name}\b", code)] == []


def test_the_workflow_is_valid_and_runs_existing_targets() -> None:
    workflow = yaml.safe_load((settings.BASE_DIR / ".github/workflows/ci.yml").read_text())
    steps = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    acceptance = "make acceptance CLICKHOUSE_URL=clickhouse://fonproxy:fonproxy@127.0.0.1:9000"
    assert {step for step in steps if step.startswith((".ci", "make"))} == {".ci/run", acceptance, "make test-wheel"}
    assert {step.split()[1] for step in steps if step.startswith("make ")} <= set(
        re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)
    )
    assert (settings.BASE_DIR / ".ci/run").stat().st_mode & 0o100
    images = {service["image"] for job in workflow["jobs"].values() for service in job.get("services", {}).values()}
    assert images == {"${{ matrix.clickhouse }}"}
    servers = [
        name
        for job in workflow["jobs"].values()
        for name in job.get("strategy", {}).get("matrix", {}).get("clickhouse", [])
    ]
    assert {name.partition("@")[0] for name in servers} == {
        "clickhouse/clickhouse-server:26.3",
        "clickhouse/clickhouse-server:26.8",
    }


def section(document: str, heading: str) -> list[list[str]]:
    """The cells of each row of the first table under this heading of a page in ``docs/``."""
    text = (settings.BASE_DIR / "docs" / document).read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    table = text[text.index("\n|") + 1 :].split("\n\n", 1)[0]
    rows = [line.strip("|").split("|") for line in table.splitlines()]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_table_in_clickhouse_is_documented_with_its_retention() -> None:
    documented = {names(table)[0]: kept for table, kept, _ in section("data.md", "Tables in ClickHouse")}
    spelled = {
        table: f"{kept.months} months"
        if kept.months
        else f"{kept.days} day{'s' * (kept.days > 1)}"
        if kept.days
        else "ever"
        for table, kept in retention.declared().items()
    }
    assert documented == spelled


def test_every_relational_table_of_the_apps_is_documented() -> None:
    ours = {model._meta.db_table for model in apps.get_models() if (settings.BASE_DIR / model._meta.app_label).is_dir()}
    assert {names(table)[0] for table, _ in section("data.md", "Tables in the relational store")} == ours


def test_every_scheduled_task_is_documented() -> None:
    documented = {names(task)[0] for task, _, _ in section("production.md", "Scheduled tasks")}
    assert documented == set(settings.CELERY_BEAT_SCHEDULE)


@pytest.mark.django_db
def test_every_metric_is_documented(clean_engine: Client) -> None:
    get_resolver().check()  # loads the views, which register their metrics
    documented = {name for metric, _ in section("runbook.md", "Metrics") for name in names(metric)}
    assert documented == {family.name for family in REGISTRY.collect() if family.name.startswith("fonproxy_")}


def test_every_scope_is_documented() -> None:
    assert [names(scope)[0] for scope, *_ in section("security.md", "Who may do what")] == Scope.values
