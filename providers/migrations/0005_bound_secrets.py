"""Keys, headers and proxies are bound to their rows and to where they may be sent."""

from django.db import migrations

from providers.secrets.rebinding import bind_stored


def bind(apps, _schema_editor):
    bind_stored(apps.get_model("providers", "Provider"), apps.get_model("providers", "Credential"))


class Migration(migrations.Migration):

    dependencies = [
        ("providers", "0004_worker"),
    ]

    operations = [
        migrations.RunPython(bind, migrations.RunPython.noop, elidable=True),
    ]
