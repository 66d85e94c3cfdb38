"""An index by which a million addresses are searched by their beginning, in the way that each database searches."""

from django.db import migrations

NAME = "static_ips_address_prefix"
CREATE = {
    "sqlite": f"CREATE INDEX {NAME} ON static_ips (address COLLATE NOCASE)",
    "postgresql": f"CREATE INDEX {NAME} ON static_ips (HOST(address) text_pattern_ops)",
}


def create(apps, schema_editor):
    schema_editor.execute(CREATE[schema_editor.connection.vendor])


def drop(apps, schema_editor):
    schema_editor.execute(f"DROP INDEX {NAME}")


class Migration(migrations.Migration):
    dependencies = [("geo", "0002_console_indexes")]
    operations = [migrations.RunPython(create, drop)]
