"""A process of the previous version keeps working after a migration, so that processes can be replaced one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState

from fonproxy.clickhouse import migrator

# The last migration of each app that is older than the rule.
BEFORE = {"accounts": "0001", "analytics": "0001", "geo": "0001", "orders": "0001", "usage": "0001"}
ADDS = (
    migrations.CreateModel,
    migrations.AddField,
    migrations.AddIndex,
    migrations.AddConstraint,
    migrations.AlterModelOptions,  # changes no table
    migrations.RemoveConstraint,  # refuses nothing that the previous version writes
    AddIndexConcurrently,
)
DATA = (migrations.RunPython, migrations.RunSQL)
ADDITIVE = re.compile(
    r"CREATE (TABLE|MATERIALIZED VIEW) IF NOT EXISTS |INSERT INTO "
    r"|ALTER TABLE \S+ (ADD (COLUMN|INDEX|PROJECTION) IF NOT EXISTS|MATERIALIZE PROJECTION) "
)


def faults(operation: Any, app: str, state: ProjectState) -> Iterator[str]:
    """Why a process that knows only the earlier state cannot work after this operation."""
    if isinstance(operation, migrations.AlterField):
        before = state.models[app, operation.model_name_lower].fields[operation.name]
        if before.null and not operation.field.null:
            yield f"{operation.name} was nullable: the version before still writes NULL"
        if (before.max_length or 0) > (operation.field.max_length or before.max_length or 0):
            yield f"{operation.name} is shorter than what the version before writes"
    elif not isinstance(operation, (*ADDS, *DATA)):
        yield f"{type(operation).__name__} takes away what the version before uses: do it one version later"
    elif isinstance(operation, migrations.AddField):
        field = operation.field
        if not (field.null or field.has_db_default() or field.many_to_many):
            yield f"{operation.name} needs null=True or db_default: the version before does not write it"


def test_migrations_leave_the_version_before_in_working_order() -> None:
    loader = MigrationLoader(None)
    found = [
        f"{app}.{name}: {fault}"
        for (app, name), migration in sorted(loader.disk_migrations.items())
        if app in BEFORE and name[:4] > BEFORE[app]
        for operation in migration.operations
        for fault in faults(operation, app, loader.project_state((app, name), at_end=False))
    ]
    assert found == []


@pytest.mark.parametrize(
    "operation",
    [
        migrations.RemoveField("key", "hint"),
        migrations.RenameField("key", "hint", "start"),
        migrations.DeleteModel("key"),
        migrations.AddField("key", "pepper", models.CharField(default="")),
        migrations.AlterField("key", "hint", models.CharField(max_length=3, null=True)),
        migrations.AlterField("key", "hint", models.CharField(max_length=4)),
    ],
    ids=lambda operation: operation.describe(),
)
def test_a_migration_that_breaks_the_previous_version_is_found(operation: Any) -> None:
    state = ProjectState()
    state.add_model(ModelState("accounts", "Key", [("hint", models.CharField(max_length=4, null=True))]))
    assert list(faults(operation, "accounts", state))


def test_schema_files_of_clickhouse_only_add() -> None:
    statements = [statement for file in migrator.migrations() for statement in file.statements("d")]
    assert [statement for statement in statements if not ADDITIVE.match(" ".join(statement.split()))] == []
    assert not ADDITIVE.match("ALTER TABLE d.traffic MODIFY COLUMN rows UInt32")
    assert not ADDITIVE.match("DROP TABLE d.traffic")
