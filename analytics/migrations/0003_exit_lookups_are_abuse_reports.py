from django.db import migrations, models


def merge(apps, schema_editor):
    """Each lookup becomes a closed report about its address, with its entries of the audit log."""
    report_model = apps.get_model("analytics", "AbuseReport")
    entries = apps.get_model("admin", "LogEntry").objects
    kinds = apps.get_model("contenttypes", "ContentType").objects
    old = kinds.filter(app_label="analytics", model="exitlookup").first()
    new = kinds.get_or_create(app_label="analytics", model="abusereport")[0]
    for lookup in apps.get_model("analytics", "ExitLookup").objects.order_by("pk").iterator():
        report = report_model.objects.create(
            reference=(lookup.note or lookup.address)[:100],
            text=lookup.address,
            since=lookup.at,
            margin=lookup.within,
            domain=lookup.domain,
            outcome=f"Looked up. {lookup.note}".strip(),
            author_id=lookup.author_id,
        )
        report_model.objects.filter(pk=report.pk).update(created_at=lookup.created_at)
        if old is not None:
            entries.filter(content_type=old, object_id=str(lookup.pk)).update(
                content_type=new, object_id=str(report.pk)
            )


class Migration(migrations.Migration):
    dependencies = [
        ("analytics", "0002_abuse_reports"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.AddField(
            model_name="abusereport",
            name="domain",
            field=models.CharField(
                blank=True, default="", help_text="Only this one, if the complaint names it.", max_length=255
            ),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="abusereport",
            name="since",
            field=models.DateTimeField(blank=True, null=True, verbose_name="time, or from"),
        ),
        migrations.RunPython(merge, elidable=True),
        migrations.DeleteModel(name="ExitLookup"),
    ]
