from datetime import UTC, datetime

from django.db import migrations, models


def make_the_one(apps, schema_editor):
    """There from the beginning: who makes a group locks this row, and so waits for a hold that is about to begin."""
    apps.get_model("analytics", "Hold").objects.create(pk=1, until=datetime.fromtimestamp(0, UTC))


class Migration(migrations.Migration):

    dependencies = [
        ('analytics', '0006_events'),
    ]

    operations = [
        migrations.CreateModel(
            name='Hold',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('until', models.DateTimeField()),
            ],
        ),
        migrations.RunPython(make_the_one, migrations.RunPython.noop),
    ]
