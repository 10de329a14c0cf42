"""Values of providers' headers are secrets now; revisions of before had some of them in clear."""

import json
import zlib

from django.db import migrations

from controlplane.config.changes import dump
from controlplane.config.objects import Secret

PROVIDER = "provider"


def hidden(block):
    """The block without values of headers; the same object if it has none in clear."""
    if not isinstance(block, dict) or not isinstance(block.get("headers"), dict):
        return block
    headers = {
        name: dump(Secret.of(value)) if isinstance(value, str) else value
        for name, value in block["headers"].items()
    }
    return {**block, "headers": headers} if headers != block["headers"] else block


def hide(apps, _schema_editor):
    for row in apps.get_model("controlplane", "RecordedObject").objects.filter(kind=PROVIDER):
        try:
            block = json.loads(row.block)
        except ValueError:
            continue  # nothing of ours
        if (new := hidden(block)) is not block:
            row.block = json.dumps(new, separators=(",", ":"))
            row.save(update_fields=["block"])
    revisions = apps.get_model("controlplane", "Revision").objects
    for number in list(revisions.values_list("pk", flat=True)):
        row = revisions.get(pk=number)
        try:
            changes = json.loads(zlib.decompress(row.packed))
        except (ValueError, zlib.error):
            continue  # as above
        new = [
            [kind, *rest, hidden(before), hidden(after)] if kind == PROVIDER
            else [kind, *rest, before, after]
            for kind, *rest, before, after in changes
        ]
        if new != changes:
            row.packed = zlib.compress(json.dumps(new, separators=(",", ":")).encode(), 1)
            row.save(update_fields=["packed"])


class Migration(migrations.Migration):

    dependencies = [
        ("controlplane", "0010_worker"),
    ]

    operations = [
        migrations.RunPython(hide, migrations.RunPython.noop, elidable=True),
    ]
