"""The catalogue that comes with the project, and how an id is looked up in one."""

from __future__ import annotations

import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from providers.catalog.entry import Entry, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FOLDER: Final = Path(__file__).parent
BY_HAND: Final = FOLDER / "models.toml"
MADE: Final = FOLDER / "prices.json"

_MERGED: Final = (
    "family", "context_window", "max_output_tokens", "input", "reasons", "prices", "deprecated",
    "retires_on",
)  # fmt: skip


class CatalogFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a catalogue file holds. Entries name their sources by key."""

    sources: dict[str, Source]
    models: list[Entry]

    def checked(self, what: str) -> CatalogFile:
        """Itself. Raises ValueError naming the first entry that breaks a rule."""
        for entry in self.models:
            unknown = [f"sources: {key!r} is none" for key in entry.sources.values()
                       if key not in self.sources]  # fmt: skip
            if problems := [*entry.problems(), *unknown]:
                raise ValueError(f"{what}: {entry.name}: {problems[0]}")
        return self


class Catalog:
    """Entries by vendor and id: exactly, by an alias, or without a date at the end."""

    def __init__(self, entries: Iterable[Entry], sources: Mapping[str, Source]) -> None:
        self.sources = sources
        self._ids: dict[str, dict[str, Entry]] = {}
        self._names: dict[str, dict[str, Entry]] = {}
        for entry in entries:
            self._ids.setdefault(entry.vendor, {})[entry.id.lower()] = entry
        for entry in self:
            names = self._names.setdefault(entry.vendor, {})
            for alias in entry.aliases:
                names.setdefault(alias.lower(), entry)

    def __iter__(self) -> Iterator[Entry]:
        """By vendor and id."""
        for vendor in sorted(self._ids):
            yield from (self._ids[vendor][name] for name in sorted(self._ids[vendor]))

    def __len__(self) -> int:
        return sum(map(len, self._ids.values()))

    def find(self, vendor: str, model: str) -> Entry | None:
        """
        The entry for a vendor's id. Never a guess: no part of a name counts as the name.

        An id may end in a date (-20250929, -2025-09-29, @20250929) that its entry leaves out.
        """
        ids = self._ids.get(vendor)
        if ids is None:
            return None
        name = model.lower()
        if vendor == "google":
            name = name.removeprefix("models/")  # as Gemini's own list spells its ids
        found = self._named(vendor, name)
        if found is None and (stem := undated(name)):
            found = self._named(vendor, stem)
        return found

    def _named(self, vendor: str, name: str) -> Entry | None:
        return self._ids[vendor].get(name) or self._names.get(vendor, {}).get(name)


def undated(name: str) -> str:
    """The id without the date at its end; "" if there is none."""
    text = name[-8:] if name[-8:].isdecimal() else name[-10:]
    cut = len(name) - len(text) - 1
    if cut < 1 or name[cut] not in "-@" or not text.startswith("20") or "W" in text.upper():
        return ""
    try:
        date.fromisoformat(text)
    except ValueError:
        return ""
    return name[:cut]


@cache
def shipped() -> Catalog:
    """The project's own catalogue: what is stated by hand wins over what was made."""
    made = read_file(MADE)
    by_hand = read_file(BY_HAND)
    entries = {(entry.vendor, entry.id): entry for entry in made.models}
    by_alias = {(entry.vendor, name): entry for entry in made.models for name in entry.aliases}
    for entry in by_hand.models:
        key = (entry.vendor, entry.id)
        base = entries.get(key) or by_alias.get(key)
        entries[key] = entry if base is None else _merged(entry, base)
        # One price does not make one model: aliases that the hand does not vouch for stand apart.
        if base is None or base.id != entry.id:
            continue
        for alias in base.aliases:
            if alias not in entry.aliases and undated(alias) != entry.id:
                apart = msgspec.structs.replace(base, id=alias, aliases=())
                entries.setdefault((entry.vendor, alias), apart)
    return Catalog(entries.values(), {**made.sources, **by_hand.sources})


def read_file(path: Path) -> CatalogFile:
    """A catalogue file. Raises OSError, or ValueError saying what is wrong with it."""
    try:
        raw: Any = (
            tomllib.loads(path.read_text("utf-8"))
            if path.suffix == ".toml"
            else msgspec.json.decode(path.read_bytes())
        )
        found = msgspec.convert(raw, CatalogFile)
    except (tomllib.TOMLDecodeError, msgspec.MsgspecError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    return found.checked(path.name)


def _merged(stated: Entry, made: Entry) -> Entry:
    """`stated`, and what of `made` it leaves open."""
    taken = {
        name: getattr(made, name)
        for name in _MERGED
        if getattr(stated, name) in (None, "", ()) and getattr(made, name) not in (None, "", ())
    }
    missing = {k: v for k, v in made.capabilities.items() if k not in stated.capabilities}
    return msgspec.structs.replace(
        stated,
        **taken,
        capabilities={**stated.capabilities, **missing},
        sources={
            **{name: key for name, key in made.sources.items() if name in taken},
            **{f"capabilities.{k}": made.source_of(f"capabilities.{k}") for k in missing},
            **stated.sources,
        },
    )
