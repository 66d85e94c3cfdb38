"""Settings from the environment: accepted, or refused with a clear message."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from rest_framework.throttling import SimpleRateThrottle

from fonproxy.env import Environment, private_directory, secret_kept_in
from fonproxy.settings import env
from tests.serving import manage


@pytest.mark.parametrize(("text", "meaning"), [("true", True), ("FALSE", False), ("1", True), ("0", False), ("", True)])
def test_a_flag_is_true_or_false_and_an_empty_one_absent(text: str, meaning: bool) -> None:
    assert Environment({"FONPROXY_X": text}).flag("FONPROXY_X", True) is meaning


@pytest.mark.parametrize("text", ["yes", "2", "truee"])
def test_a_flag_that_is_neither_stops_the_program(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="FONPROXY_X must be true or false"):
        Environment({"FONPROXY_X": text}).flag("FONPROXY_X", True)


@pytest.mark.parametrize("text", ["-1", "11", "1.0", "1e1", "٣", "ten"])
def test_a_number_outside_its_bounds_or_not_one_stops_the_program(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="from 1 to 10"):
        Environment({"FONPROXY_X": text}).int_("FONPROXY_X", 5, least=1, most=10)


@pytest.mark.parametrize("text", ["600", "600/day", "0/min", "-1/min", "a/min", "/min"])
def test_a_malformed_rate_stops_the_program(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="must be like 600/min"):
        Environment({"FONPROXY_X": text}).rate("FONPROXY_X", "1/min")


def test_a_misspelt_name_stops_the_program_and_known_names_are_listed() -> None:
    environment = Environment({"FONPROXY_DATADIR": "x", "HOME": "/"})
    environment.text("FONPROXY_DATA_DIR")
    with pytest.raises(
        ImproperlyConfigured, match=r"Unknown setting FONPROXY_DATADIR\. Known settings: FONPROXY_DATA_DIR"
    ):
        environment.refuse_unknown()


def test_a_stored_secret_is_generated_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "secret_key"
    first = secret_kept_in(file)
    assert (secret_kept_in(file), len(first) >= 50, file.stat().st_mode & 0o777) == (first, True, 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_the_document_of_settings_names_exactly_those_that_exist() -> None:
    document = (settings.BASE_DIR / "docs" / "settings.md").read_text()
    assert set(re.findall(r"^\| `([A-Z_]+)`", document, re.MULTILINE)) == env.known


def test_documented_defaults_of_numbers_and_rates_are_the_real_ones() -> None:
    document = (settings.BASE_DIR / "docs" / "settings.md").read_text()
    documented: dict[str, Any] = dict(re.findall(r"^\| `([A-Z_]+)` \| `([0-9]+(?:/min)?)` \|", document, re.MULTILINE))
    rates = SimpleRateThrottle.THROTTLE_RATES
    assert documented == {
        "FONPROXY_TRUSTED_PROXIES": str(settings.TRUSTED_PROXIES),
        "FONPROXY_ENGINE_MEMORY_MB": str(settings.ENGINE_MEMORY_BYTES // 2**20),
        "FONPROXY_TRAFFIC_RETENTION_MONTHS": str(settings.TRAFFIC_RETENTION_MONTHS),
        "FONPROXY_APINALYTICS_RETENTION_MONTHS": str(settings.APINALYTICS_RETENTION_MONTHS),
        "FONPROXY_APINALYTICS_MAX_ROWS": str(settings.APINALYTICS_MAX_ROWS),
        "FONPROXY_APINALYTICS_MAX_GROUPS": str(settings.APINALYTICS_MAX_GROUPS),
        "FONPROXY_APINALYTICS_MAX_POINTS": str(settings.APINALYTICS_MAX_POINTS),
        "FONPROXY_KEY_GRACE_HOURS": str(settings.KEY_GRACE_HOURS),
        "FONPROXY_JOURNAL_MAX_ROWS": str(settings.JOURNAL_MAX_ROWS),
        "FONPROXY_JOURNAL_MAX_MB": str(settings.JOURNAL_MAX_BYTES // 2**20),
        "FONPROXY_THREADS": str(settings.SERVER_THREADS),
        "FONPROXY_INGEST_CONCURRENCY": str(settings.INGEST_CONCURRENCY),
        "FONPROXY_EVENTS_CONCURRENCY": str(settings.EVENTS_CONCURRENCY),
        "FONPROXY_HEAVY_CONCURRENCY": str(settings.HEAVY_CONCURRENCY),
        "FONPROXY_READS_AT_ONCE": str(settings.READS_AT_ONCE),
        "FONPROXY_CONNECTIONS": str(settings.CONNECTIONS),
        "FONPROXY_CONNECTIONS_PER_ADDRESS": str(settings.CONNECTIONS_PER_ADDRESS),
        "FONPROXY_THROTTLE_READ": rates["read"],
        "FONPROXY_THROTTLE_PUBLIC": rates["public"],
        "FONPROXY_THROTTLE_SHARED": rates["shared"],
        "FONPROXY_THROTTLE_PROVISIONING": rates["provisioning"],
        "FONPROXY_THROTTLE_TOKEN": rates["token"],
    }


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "postgress://user:hunter2@host/name",
        "postgres://",
        "http://host/name",
        "postgres://user:hun/ter2hunter2@host/name",
        "postgres://user:hunter2@host:port/name",
        "postgres://[user:hunter2@host/name",
    ],
)
def test_a_url_of_another_kind_stops_the_program_without_repeating_a_password(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="FONPROXY_X must be like postgres://") as refusal:
        Environment({"FONPROXY_X": text}).url("FONPROXY_X", "postgres://host/name", ("postgres",))
    assert "hunter2" not in str(refusal.value)


def test_a_data_directory_that_cannot_be_made_stops_the_program_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImproperlyConfigured, match="FONPROXY_DATA_DIR cannot be"):
        private_directory(tmp_path / "file" / "inside")


@pytest.mark.parametrize("text", ["hunter2", "s" * 31, f"{'s' * 40},{'t' * 40}"])
def test_a_secret_that_could_not_be_changed_later_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(
        ImproperlyConfigured, match="FONPROXY_X must have at least 32 characters, and no comma"
    ) as refusal:
        Environment({"FONPROXY_X": text}).secret("FONPROXY_X")
    assert text not in str(refusal.value)


@pytest.mark.parametrize("text", ["hunter2", f"{'s' * 40},hunter2", f"hunter2,{'s' * 40}"])
def test_a_short_secret_in_a_list_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="FONPROXY_X must have secrets of at least 32") as refusal:
        Environment({"FONPROXY_X": text}).secrets("FONPROXY_X")
    assert not any(secret in str(refusal.value) for secret in text.split(","))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"REDIS_URL": "redis://127.0.0.1:6379/0"}, "REDIS_URL needs CLICKHOUSE_URL"),
        ({"FONPROXY_CLICKHOUSE_REPLICATED": "true"}, "FONPROXY_CLICKHOUSE_REPLICATED needs CLICKHOUSE_URL"),
        ({"CLICKHOUSE_CLUSTER": "fonproxy"}, "CLICKHOUSE_CLUSTER needs CLICKHOUSE_URL"),
    ],
)
def test_settings_that_cannot_work_together_stop_the_program(
    tmp_path: Path, given: dict[str, str], sentence: str
) -> None:
    refused = manage(tmp_path, "check", CLICKHOUSE_URL="", **given)
    assert refused.returncode != 0
    assert sentence in refused.stderr


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("FONPROXY_LOG_LEVEL", "LOUD", "FONPROXY_LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR, not 'LOUD'"),
        ("FONPROXY_THREADS", "9" * 5000, "FONPROXY_THREADS must be a whole number from 2 to 256"),
        ("CLICKHOUSE_URL", "clickhouse://h:99999", "CLICKHOUSE_URL must be like"),
        ("REDIS_URL", "redis://h:x/0", "REDIS_URL must be like"),
    ],
    ids=["level", "number", "clickhouse", "redis"],
)
def test_an_invalid_setting_stops_the_program(tmp_path: Path, name: str, value: str, sentence: str) -> None:
    told = manage(tmp_path, "check", **{name: value})
    assert told.returncode != 0
    assert sentence in told.stderr


def test_an_empty_secret_file_stops_the_program_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret_key").touch()
    with pytest.raises(ImproperlyConfigured, match="secret_key is empty"):
        secret_kept_in(tmp_path / "secret_key")


def test_an_existing_data_directory_is_closed_to_others(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "mail").mkdir()
    (directory / "fonproxy.sqlite3").touch()
    for path, mode in ((directory, 0o755), (directory / "mail", 0o755), (directory / "fonproxy.sqlite3", 0o644)):
        path.chmod(mode)
    outside = tmp_path / "outside"
    outside.touch()
    outside.chmod(0o644)
    (directory / "link").symlink_to(outside)
    before = os.umask(0o022)
    try:
        private_directory(directory)
        (directory / "new").touch()
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (directory, *directory.iterdir())}
    assert modes == {"data": 0o700, "fonproxy.sqlite3": 0o600, "mail": 0o700, "new": 0o600, "link": 0o644}


def test_behind_tls_cookies_belong_to_this_host_alone(tmp_path: Path) -> None:
    asked = "from django.conf import settings; print(settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME)"
    told = manage(tmp_path, "shell", "-v", "0", "-c", asked, FONPROXY_PUBLIC_URL="https://usage.example.com")
    assert told.stdout.split() == ["__Host-sessionid", "__Host-csrftoken"]
