"""``manage.py backup`` while the server is in use, and ``manage.py restore`` after its directory was lost."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tests import clickhouse
from tests.engines import embedded_only
from tests.serving import ROOT, Server, environment, manage, row, with_accounts
from tests.waiting import wait_for

pytestmark = embedded_only

# As left by a process that dies between an insert and its settlement, and between a record and its group.
UNDER_WAY = """
import json, sys, django
django.setup()
from django.core.management import call_command
from django.utils import timezone
call_command("migrate", verbosity=0)
from analytics.ingest import journal
from analytics.models import IngestBatch
from analytics.traffic.ingest_columns import to_inbox
from fonproxy.clickhouse import migrator
from fonproxy.clickhouse.client import close_client, get_client
migrator.migrate(get_client())
now = timezone.now()
body = sys.argv[1].encode()
for is_sent in (True, False):
    origin = journal.BatchOrigin(None, IngestBatch.Route.TRAFFIC)
    batch, _ = journal.record(origin, to_inbox(body, now), now=now, claimed=True)
    if is_sent:
        group, _ = journal.form_block([batch.pk], now)
        get_client().insert("inbox", journal.unpack(bytes(batch.columns)), token=str(group.id))
close_client()
"""


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[Server]:
    """A server whose directory is about to be lost."""
    directory = tmp_path / "lost"
    directory.mkdir()
    server = Server(directory)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def _new_directory(lost: Path, directory: Path) -> Path:
    """The directory to restore into, with the files that are kept outside the backup."""
    directory.mkdir()
    for name in ("secret_key", "keys.json"):
        shutil.copy(lost / name, directory)
    return directory


Refusal = Callable[..., str]


@pytest.fixture
def refusal(settings: Any) -> Refusal:
    """The message of a command that refuses before it opens a store, run in this process for that data directory."""

    def of(data: Path, command: str, backup: Path, **changed: object) -> str:
        for name, value in {"DATA_DIR": data, **changed}.items():
            setattr(settings, name, value)
        with pytest.raises(CommandError) as refused:
            call_command(command, str(backup))
        return str(refused.value)

    return of


@pytest.mark.processes
def test_rows_acknowledged_before_a_backup_count_once_after_a_restore(lost: Server, tmp_path: Path) -> None:
    acknowledged: list[int] = []
    stop = threading.Event()

    ts = row()["ts"]

    def push(server: Server, number: int) -> int:
        return server.push(row(ts=ts, count=number + 1), Idempotency_Key=f"push {number}").status

    def push_on() -> None:
        while not stop.wait(0.02):  # each is pushed again below
            number = len(acknowledged)
            assert push(lost, number) == 204
            acknowledged.append(number)

    pushing = threading.Thread(target=push_on)
    pushing.start()
    try:
        wait_for(lambda: len(acknowledged) >= 20 or not pushing.is_alive())
        before = len(acknowledged)
        made = manage(lost.data_dir, "backup", str(tmp_path / "backups" / "today"))
        after = len(acknowledged)
        wait_for(lambda: len(acknowledged) >= after + 20 or not pushing.is_alive())
        assert pushing.is_alive()
    finally:
        stop.set()
        pushing.join()
    assert made.returncode == 0, made.stderr
    assert not list(lost.data_dir.glob(".links-*"))
    lost.process.kill()
    lost.process.wait()

    directory = _new_directory(lost.data_dir, tmp_path / "restored")
    shutil.rmtree(lost.data_dir)
    restored = manage(directory, "restore", str(tmp_path / "backups" / "today"))
    assert (restored.returncode, restored.stderr) == (0, ""), restored.stderr
    server = Server(directory)
    try:
        found = server.requests_of_alice()
        assert found in {sum(range(number + 1)) for number in range(before, after + 2)}  # whole pushes, in order
        # A push that is repeated under the same key counts once, whether or not the backup contains it.
        for number in acknowledged:
            assert push(server, number) == 204
        total = server.requests_of_alice()
    finally:
        server.stop()
    assert total == sum(number + 1 for number in acknowledged)


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of an installation that no process runs, with two unfinished batches; its data lies beside it."""
    data = tmp_path_factory.mktemp("backed-up") / "data"
    with_accounts(data)
    body = json.dumps({"logs": [row(count=7)]})
    left = subprocess.run(
        [sys.executable, "-c", UNDER_WAY, body], cwd=ROOT, env=environment(data), capture_output=True, text=True
    )
    assert left.returncode == 0, left.stderr
    made = manage(data, "backup", str(data.with_name("backup")))
    assert made.returncode == 0, made.stderr
    return data.with_name("backup")


@pytest.mark.processes
def test_rows_in_transit_count_once_after_a_restore(backup: Path, tmp_path: Path) -> None:
    directory = _new_directory(backup.with_name("data"), tmp_path / "restored")
    restored = manage(directory, "restore", str(backup))
    assert (restored.returncode, restored.stderr) == (0, "")
    server = Server(directory)
    try:
        assert server.requests_of_alice() == 14
    finally:
        server.stop()


KILLED = """
import os, signal, sys, django
django.setup()
from unittest import mock
from django.core.management import call_command
with mock.patch("fonproxy.backup.embedded.pack", lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)):
    call_command("backup", sys.argv[1])
"""


@pytest.mark.processes
def test_a_killed_backup_is_not_mistaken_for_a_backup_and_the_next_one_cleans_up(
    backup: Path, tmp_path: Path, refusal: Refusal
) -> None:
    data = tmp_path / "data"
    shutil.copytree(backup.with_name("data"), data, symlinks=True)
    wanted = tmp_path / "backup"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(wanted)], cwd=ROOT, env=environment(data), check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not wanted.exists()
    [half] = tmp_path.glob("backup.partial-*")
    assert "is not a complete backup" in refusal(tmp_path / "new", "restore", half)
    assert manage(data, "backup", str(wanted)).returncode == 0
    assert not list(data.glob(".links-*"))


@pytest.mark.processes
def test_nothing_is_restored_over_data(backup: Path) -> None:
    refused = manage(backup.with_name("data"), "restore", str(backup))
    assert refused.returncode == 1
    assert "ClickHouse is not empty, and nothing is overwritten" in refused.stderr


@pytest.mark.processes
def test_a_damaged_backup_is_refused_and_restores_nothing(backup: Path, tmp_path: Path, refusal: Refusal) -> None:
    damaged, directory = tmp_path / "damaged", tmp_path / "data"
    shutil.copytree(backup, damaged)
    with (damaged / "clickhouse.tar").open("r+b") as archive:
        archive.seek(4096)
        archive.write(b"x")
    directory.mkdir()
    assert "clickhouse.tar differs from its checksum" in refusal(directory, "restore", damaged)
    (damaged / "manifest.json").unlink()
    assert "is not a complete backup: manifest.json is missing" in refusal(directory, "restore", damaged)
    assert not list(directory.iterdir())


def _secrets(data: Path) -> dict[str, str]:
    """The salt and the pepper that an installation generated for itself, as settings."""
    told = "from django.conf import settings; print(settings.ID_SALT, *settings.KEY_PEPPERS)"
    salt, pepper = manage(data, "shell", "-v", "0", "-c", told).stdout.split()
    return {"FONPROXY_ID_SALT": salt, "FONPROXY_KEY_PEPPERS": f"{'n' * 32},{pepper}"}


@pytest.mark.processes
def test_a_backup_is_restored_under_its_salt_and_all_its_peppers_and_otherwise_not_touched(
    backup: Path, tmp_path: Path, refusal: Refusal
) -> None:
    secrets = _secrets(backup.with_name("data"))
    right = {"ID_SALT": secrets["FONPROXY_ID_SALT"], "KEY_PEPPERS": secrets["FONPROXY_KEY_PEPPERS"].split(",")}
    for wrong, words in (
        ({"ID_SALT": "another"}, "published ids depend on another FONPROXY_ID_SALT"),
        ({"KEY_PEPPERS": ["n" * 32]}, "keys depend on a pepper that FONPROXY_KEY_PEPPERS does not have"),
    ):
        assert words in refusal(tmp_path, "restore", backup, **right | wrong)
        assert not list(tmp_path.iterdir())
    restored = manage(tmp_path, "restore", str(backup), **secrets)
    assert restored.returncode == 0, restored.stderr
    assert "FONPROXY_SECRET_KEY is not the one that the backup was made under" in restored.stderr


KILLED_RESTORE = """
import os, signal, sys, django
django.setup()
from unittest import mock
from django.core.management import call_command
with mock.patch("fonproxy.backup.relational.load", lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)):
    call_command("restore", sys.argv[1])
"""


@pytest.mark.processes
def test_after_a_restore_that_was_killed_between_the_stores_nothing_starts_until_it_is_done_again(
    backup: Path, tmp_path: Path, refusal: Refusal
) -> None:
    directory = _new_directory(backup.with_name("data"), tmp_path / "restored")
    command = [sys.executable, "-c", KILLED_RESTORE, str(backup)]
    killed = subprocess.run(command, cwd=ROOT, env=environment(directory), check=False)
    assert killed.returncode == -signal.SIGKILL
    for name in ("serve", "clickhouse_migrate"):
        refused = manage(directory, name)
        assert (refused.returncode, f"remove {directory}/restoring" in refused.stderr) == (1, True), refused.stderr
    assert f"remove {directory}/restoring" in refusal(directory, "restore", backup)
    assert not (directory / "fonproxy.sqlite3").exists()
    shutil.rmtree(directory / "clickhouse")
    (directory / "restoring").unlink()
    assert manage(directory, "restore", str(backup)).returncode == 0
    assert manage(directory, "clickhouse_migrate").returncode == 0


@pytest.mark.processes
def test_a_restore_that_fails_before_anything_is_loaded_leaves_nothing_in_the_way(backup: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(backup, damaged)
    (damaged / "clickhouse.tar").write_bytes(b"no archive at all")
    manifest = json.loads((damaged / "manifest.json").read_text())
    manifest["files"]["clickhouse.tar"] = hashlib.sha256(b"no archive at all").hexdigest()
    (damaged / "manifest.json").write_text(json.dumps(manifest))
    directory = _new_directory(backup.with_name("data"), tmp_path / "restored")
    refused = manage(directory, "restore", str(damaged))
    assert (refused.returncode, "clickhouse.tar cannot be unpacked" in refused.stderr) == (1, True), refused.stderr
    assert {path.name for path in directory.iterdir()} == {"secret_key", "keys.json", "clickhouse.lock"}
    assert manage(directory, "restore", str(backup)).returncode == 0


@pytest.mark.processes
@pytest.mark.parametrize("command", ["serve", "clickhouse_migrate"])
def test_rows_without_an_existing_user_are_not_served(backup: Path, tmp_path: Path, command: str) -> None:
    data = tmp_path / "data"
    shutil.copytree(backup.with_name("data"), data, symlinks=True)
    for file in data.glob("fonproxy.sqlite3*"):
        file.unlink()
    refused = manage(data, command)
    assert (refused.returncode, "the relational store has no user" in refused.stderr) == (1, True), refused.stderr


@pytest.mark.processes
@pytest.mark.parametrize("kind", ["wal", "shm", "journal"])
def test_restore_is_refused_beside_the_journal_of_a_killed_process(backup: Path, tmp_path: Path, kind: str) -> None:
    directory = _new_directory(backup.with_name("data"), tmp_path / "restored")
    (directory / f"fonproxy.sqlite3-{kind}").touch()
    refused = manage(directory, "restore", str(backup))
    assert (refused.returncode, "The relational store is not empty" in refused.stderr) == (1, True), refused.stderr


@pytest.mark.processes
def test_a_backup_is_readable_by_its_owner_only_and_refused_inside_the_data_directory(
    backup: Path, refusal: Refusal
) -> None:
    assert {path.stat().st_mode & 0o077 for path in (backup, *backup.iterdir())} == {0}
    data = backup.with_name("data")
    assert "is in the data directory" in refusal(data, "backup", data / "today")


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_backup_and_restore_are_refused_on_a_cluster(tmp_path: Path, command: str, refusal: Refusal) -> None:
    said = refusal(tmp_path / "data", command, tmp_path / "backup", CLICKHOUSE_CLUSTER="usage")
    assert "rows are in the shards" in said
    assert not (tmp_path / "backup").exists()


FAILED = """
import errno, sys, django
django.setup()
from unittest import mock
from django.core.management import call_command
full = OSError(errno.ENOSPC, "No space left on device")
with mock.patch("fonproxy.backup.manifest.write", side_effect=full):
    call_command("backup", sys.argv[1])
"""


@pytest.mark.processes
def test_a_failed_backup_names_the_copy_that_it_leaves_with_a_clickhouse_server(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with_accounts(data)
    with clickhouse.running() as endpoint:
        url = {"CLICKHOUSE_URL": f"{endpoint.url}/fonproxy"}
        assert manage(data, "clickhouse_migrate", **url).returncode == 0
        ended = subprocess.run(
            [sys.executable, "-c", FAILED, str(tmp_path / "today")],
            cwd=ROOT,
            env=environment(data, **url),
            capture_output=True,
            text=True,
            check=False,
        )
        [copy] = (path.name for path in endpoint.directory.with_name("backups").iterdir())
    assert f"its disk backups under {copy}: delete it there" in ended.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


TERMINATED = KILLED.replace("SIGKILL", "SIGTERM")


@pytest.mark.processes
def test_a_terminated_backup_leaves_nothing(backup: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(backup.with_name("data"), data, symlinks=True)
    command = [sys.executable, "-c", TERMINATED, str(tmp_path / "backup")]
    ended = subprocess.run(command, cwd=ROOT, env=environment(data), capture_output=True, text=True, check=False)
    assert (ended.returncode, "it was stopped" in ended.stderr) == (1, True)
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
    assert not list(data.glob(".links-*"))


@pytest.mark.processes
def test_a_backup_is_not_written_over_another(backup: Path, refusal: Refusal) -> None:
    assert "already exists" in refusal(backup.with_name("data"), "backup", backup)


@pytest.mark.processes
def test_a_backup_without_data_leaves_no_directory(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert manage(tmp_path / "data", "migrate").returncode == 0
    refused = manage(tmp_path / "data", "backup", str(tmp_path / "backup"))
    assert (refused.returncode, "there is no ClickHouse yet" in refused.stderr) == (1, True)
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


SIGNED_IN = """
import django
django.setup()
from django.contrib.auth import SESSION_KEY
from django.core.management import call_command
from django.utils import timezone
from accounts import tokens
from accounts.models import TokenFamily, User
from accounts.sessions import SessionStore, hashed
from fonproxy.clickhouse import migrator
from fonproxy.clickhouse.client import close_client, get_client
call_command("migrate", verbosity=0)
migrator.migrate(get_client())
user = User.objects.get(username="admin")
store = SessionStore()
store[SESSION_KEY] = user.pk
store.create()
store.save()
tokens.issue(user, timezone.now())
print(hashed(store.session_key), TokenFamily.objects.get().key)
close_client()
"""


@pytest.mark.processes
def test_a_backup_contains_no_sessions_or_tokens(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with_accounts(data)
    told = subprocess.run(
        [sys.executable, "-c", SIGNED_IN], cwd=ROOT, env=environment(data), capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    secrets = told.stdout.split()
    made = manage(data, "backup", str(tmp_path / "backup"))
    assert made.returncode == 0, made.stderr
    copy = (tmp_path / "backup" / "fonproxy.sqlite3").read_bytes()
    assert b"alice" in copy
    assert [secret for secret in secrets if secret.encode() in copy] == []
