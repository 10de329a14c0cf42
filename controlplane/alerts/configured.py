"""Webhooks as objects of the configuration; named by controlplane.edits.kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controlplane.alerts.models import Webhook
from controlplane.config.objects import Block, State, secret_of
from controlplane.config.references import webhook_name
from controlplane.config.rows import Fields, Part, sync
from controlplane.edits.kinds import ObjectKey
from controlplane.hosts.holding import kept_or_new
from controlplane.validation import SIGNED
from providers.destinations import origin_of
from providers.secrets.fields import EncryptedText

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from controlplane.config.document import Document
    from controlplane.config.schema import WebhookBlock
    from controlplane.config.text import Names


def webhooks(names: Collection[str] | None) -> State:
    rows = Webhook.objects.order_by("name", "managed_source")
    if names is not None:
        rows = rows.filter(name__in=list(names))
    return {ObjectKey("webhook", row.name, row.managed_source): _block(row) for row in rows}


def _block(row: Webhook) -> Block:
    block: Block = {"url": secret_of(row.url)}
    if row.kind != SIGNED:
        block["kind"] = row.kind
    if row.secret:
        block["secret"] = secret_of(row.secret)
    if not row.enabled:
        block["enabled"] = False
    return block


def webhook_shown(name: str, block: Block, named: Names) -> Block:
    shown: Block = {"name": name, **block, "url": named.reference("WEBHOOK_URL", name)}
    if "secret" in block:
        shown["secret"] = named.reference("WEBHOOK_SECRET", name)
    return shown


def webhook_names(document: Document) -> list[str]:
    return [name for name, _block, _index in _listed(document)]


def _listed(document: Document) -> Iterator[tuple[str, WebhookBlock, int]]:
    for index, block in enumerate(document.blocks.alerts.webhooks):
        yield webhook_name(block.name, index), block, index


def write_webhooks(part: Part) -> bool:
    rows = part.rows("webhook", Webhook)
    stored = {row.name: row for row in rows}
    desired: dict[str, Fields] = {}
    for name, block, index in _listed(part.document):
        path = ("alerts", "webhooks", index)
        if not part.has("webhook", name) or not (block.url or part.is_kept(*path, "url")):
            continue
        row = stored.get(name)
        url = _kept(part, (*path, "url"), block.url, row and row.url, "")
        to = origin_of(url if isinstance(url, str) else url.told())
        desired[name] = {
            "managed_source": part.source,
            "url": url,
            "secret": _kept(part, (*path, "secret"), block.secret, row and row.secret, to),
            "kind": block.kind,
            "enabled": block.enabled,
        }
    return sync(Webhook, rows, desired, "name")


def _kept(part: Part, path: tuple[str | int, ...], text: str, stored: Any, to: str) -> Any:
    if part.is_kept(*path):
        if not stored:
            part.nothing_to_keep(*path)
        return stored or EncryptedText("")
    return kept_or_new(stored, text, to)
