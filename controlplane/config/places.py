"""Where an object stands in the text of a configuration file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from controlplane.config.document import Document
    from controlplane.config.objects import Key
    from controlplane.config.yaml import Path

_SECTIONS: Final[dict[str, Path]] = {
    "provider": ("providers",),
    "pool": ("routing", "model_pools"),
    "alias": ("aliases",),
    "rule": ("failover", "rules"),
}


def place_of(document: Document, key: Key) -> Path:
    """The path of an object; the settings are the whole file."""
    if key.kind in _SECTIONS:
        for name, pool in document.blocks.routing.model_pools.items():
            if key.kind == "alias" and key.name in pool.aliases:
                return ("routing", "model_pools", name, "aliases", pool.aliases.index(key.name))
        return (*_SECTIONS[key.kind], key.name)
    if key.kind == "key":
        for index, block in enumerate(document.blocks.keys):
            if block.name == key.name:
                return ("keys", index)
        return ("keys", len(document.blocks.keys))
    return ()
