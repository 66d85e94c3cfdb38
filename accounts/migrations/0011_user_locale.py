from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0010_invitation_maker'),
    ]

    operations = [
        migrations.AddField(
            model_name='user',
            name='locale',
            field=models.CharField(blank=True, db_default='', default='', help_text='How pages and mails write numbers and dates, such as en-de. Empty: en.', max_length=8),
        ),
    ]
