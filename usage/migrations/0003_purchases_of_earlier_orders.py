"""Orders that were there before the ledger get the purchase that they would have begun with."""

from django.db import migrations
from django.db.models import F
from django.utils import timezone


def post_purchases(apps, schema_editor):
    order = apps.get_model("accounts", "Order")
    entry = apps.get_model("usage", "LedgerEntry")
    now = timezone.now()
    order.objects.update(period_started_at=F("started_at"))
    entry.objects.bulk_create(
        [
            entry(
                order_id=pk,
                reason="service_purchase",
                bytes=limit or 0,
                period_date=now.date(),
                period_number=1,
                author="fonproxy",
                note="bought before the ledger was kept",
                created_at=now,
                updated_at=now,
            )
            for pk, limit in order.objects.filter(ledger=None).values_list("pk", "traffic_limit_bytes")
        ]
    )


class Migration(migrations.Migration):
    dependencies = [("usage", "0002_ledger_is_append_only"), ("accounts", "0002_billing")]
    operations = [migrations.RunPython(post_purchases, migrations.RunPython.noop)]
