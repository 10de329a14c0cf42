from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("controlplane", "0004_narrow_request_record"),
    ]

    operations = [
        migrations.CreateModel(
            name="HostReport",
            fields=[
                ("host", models.CharField(max_length=200, primary_key=True, serialize=False)),
                ("report", models.TextField()),
                ("seen_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "process",
                "verbose_name_plural": "processes",
                "ordering": ["host"],
            },
        ),
    ]
