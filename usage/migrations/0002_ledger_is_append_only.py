"""Rules of the ledger that the database itself keeps, whoever writes to it."""

from django.db import migrations

REFUSED_CHANGE = """
    OLD.reason <> 'usage' OR NEW.reason <> 'usage' OR NEW.order_id <> OLD.order_id OR NEW.period_date <> OLD.period_date
"""
KEPT = "NOT EXISTS (SELECT 1 FROM erasures WHERE order_id = OLD.order_id)"

SQLITE = (
    f"""
    CREATE TRIGGER ledger_entries_unchanged BEFORE UPDATE ON ledger_entries WHEN {REFUSED_CHANGE}
    BEGIN SELECT RAISE(ABORT, 'a ledger entry is never changed: post an adjustment'); END
    """,
    f"""
    CREATE TRIGGER ledger_entries_kept BEFORE DELETE ON ledger_entries WHEN {KEPT}
    BEGIN SELECT RAISE(ABORT, 'a ledger entry is never deleted: post an adjustment'); END
    """,
)
POSTGRESQL = (
    """
    CREATE FUNCTION ledger_entries_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'a ledger entry is never changed or deleted: post an adjustment'
        USING ERRCODE = 'integrity_constraint_violation'; END $$
    """,
    f"""
    CREATE FUNCTION ledger_entries_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF {KEPT} THEN
            RAISE EXCEPTION 'a ledger entry is never deleted: post an adjustment'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN OLD;
    END $$
    """,
    f"""
    CREATE TRIGGER ledger_entries_unchanged BEFORE UPDATE ON ledger_entries
    FOR EACH ROW WHEN ({REFUSED_CHANGE}) EXECUTE FUNCTION ledger_entries_refuse()
    """,
    """
    CREATE TRIGGER ledger_entries_kept BEFORE DELETE ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION ledger_entries_refuse_delete()
    """,
)


def create(apps, schema_editor):
    for statement in SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL:
        schema_editor.execute(statement)


def drop(apps, schema_editor):
    on_table = "" if schema_editor.connection.vendor == "sqlite" else " ON ledger_entries"
    for trigger in ("ledger_entries_unchanged", "ledger_entries_kept"):
        schema_editor.execute(f"DROP TRIGGER {trigger}{on_table}")
    if schema_editor.connection.vendor != "sqlite":
        schema_editor.execute("DROP FUNCTION ledger_entries_refuse()")
        schema_editor.execute("DROP FUNCTION ledger_entries_refuse_delete()")


class Migration(migrations.Migration):
    dependencies = [("usage", "0001_initial")]
    operations = [migrations.RunPython(create, drop)]
