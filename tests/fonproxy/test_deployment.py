"""An installation behind TLS, as its own processes see it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from django.conf import settings

from fonproxy.clickhouse.client import Client
from fonproxy.settings import env
from tests.serving import ROOT, environment, manage

BEHIND_TLS = {"FONPROXY_PUBLIC_URL": "https://usage.example.com", "FONPROXY_TRUSTED_PROXIES": "1"}
CALLS = """
import json, sys, django
django.setup()
from django.test import Client
answers = {}
for path in ("/docs", "/healthz", "/sign-in"):
    for scheme in ("http", "https"):
        answer = Client(HTTP_HOST="localhost", HTTP_X_FORWARDED_PROTO=scheme).get(path)
        cookie = answer.cookies.get("__Host-csrftoken") or answer.cookies.get("csrftoken")
        answers[f"{scheme} {path}"] = [
            answer.status_code,
            answer.headers.get("Location", ""),
            answer.headers.get("Strict-Transport-Security", ""),
            bool(cookie and cookie["secure"]),
        ]
print(json.dumps(answers))
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


def test_the_deployment_check_is_clean_behind_tls(directory: Path) -> None:
    checked = manage(directory, "check", "--deploy", "--fail-level", "WARNING", **BEHIND_TLS)
    assert checked.returncode == 0, checked.stderr


def test_behind_tls_http_is_redirected_and_cookies_are_secure(directory: Path) -> None:
    answers = _answers(directory, **BEHIND_TLS)
    assert answers["http /docs"][:2] == [301, "https://localhost/docs"]
    assert answers["https /docs"][0] == answers["http /healthz"][0] == 200
    assert answers["https /sign-in"][2:] == ["max-age=31536000", True]


def test_without_tls_nothing_is_redirected_and_cookies_work_on_loopback(directory: Path) -> None:
    answers = _answers(directory)
    assert answers["http /sign-in"] == [200, "", "", False]


def _answers(directory: Path, **variables: str) -> dict[str, list[object]]:
    found = subprocess.run(
        [sys.executable, "-c", CALLS], cwd=ROOT, env=environment(directory, **variables), capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    answers: dict[str, list[object]] = json.loads(found.stdout)
    return answers


def test_the_compose_file_and_its_example_name_settings_that_exist() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    ours = {name: service for name, service in compose["services"].items() if service.get("image") == "fonproxy:local"}
    assert set(ours) == {"migrate", "backup", "web", "worker", "beat"}
    for service in ours.values():
        assert set(service["environment"]) <= env.known
        assert set(service["depends_on"]) <= set(compose["services"])
    example = dict(
        line.split("=", 1)
        for line in (ROOT / ".env.example").read_text().splitlines()
        if "=" in line and line[0] != "#"
    )
    named = set(re.findall(r"\$\{(\w+):\?}", (ROOT / "compose.yaml").read_text()))
    assert named <= set(example)
    assert set(example) - {"POSTGRES_PASSWORD", "CLICKHOUSE_PASSWORD"} <= env.known
    assert "127.0.0.1" in example["FONPROXY_ALLOWED_HOSTS"]  # the health check calls it under that name


def test_the_cluster_example_writes_to_one_replica_and_lets_keeper_replicate() -> None:
    # Otherwise a replica would get its rows twice: from the insert and from its peers.
    cluster = ElementTree.parse(ROOT / "ops" / "clickhouse" / "cluster.xml")
    shards = cluster.findall("remote_servers/*/shard")
    assert [shard.findtext("internal_replication") for shard in shards] == ["true"] * 2
    assert {macro.tag for macro in cluster.findall("macros/*")} == {"shard", "replica"}


def test_production_in_containers_has_replicated_tables() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert compose["x-fonproxy"]["environment"]["FONPROXY_CLICKHOUSE_REPLICATED"] == "true"


def test_the_images_user_may_write_to_the_backup_directory() -> None:
    # A new volume gets the owner that the directory has in the image.
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    [volume] = compose["services"]["backup"]["volumes"]
    name, place = volume.split(":")
    assert name in compose["volumes"]
    [made] = re.findall(
        r"install -d -o fonproxy -g fonproxy -m 700 (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    assert place in made.split()


def test_the_order_of_migration_steps_is_the_same_in_every_document() -> None:
    told = "python manage.py migrate && python manage.py clickhouse_migrate"
    for name in ("compose.yaml", "docs/production.md", "docs/upgrade.md"):
        assert told in (ROOT / name).read_text()


def test_clickhouse_accepts_the_documented_cluster_backup(engine: Client) -> None:
    [backup] = re.findall(r"^ +(BACKUP .*)$", (ROOT / "docs" / "backup.md").read_text(), re.MULTILINE)
    for statement in (backup, backup.replace("BACKUP", "RESTORE").replace(" TO ", " FROM ")):
        [(read,)] = engine.fetch("SELECT formatQuerySingleLine({sql:String})", {"sql": statement}, tag="tests")
        assert "ON CLUSTER" in read


def test_the_image_holds_every_app_the_agent_and_the_templates() -> None:
    copied = set(re.findall(r"^COPY (\w+) \1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    apps = {name for name in settings.INSTALLED_APPS if (ROOT / name).is_dir()}
    assert copied == apps | {"agent", "templates"}
    assert allowed == copied | {"manage.py", "requirements.txt", "docs/runbook.md"}
