"""A strict reader of Prometheus' text format 0.0.4: it refuses what Prometheus would."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\+Inf|-Inf|NaN|-?[0-9.]+(?:e[+-]?[0-9]+)?)")
LABEL = re.compile(rf'({NAME})="((?:[^"\\\n]|\\[\\n"])*)"(?:,|$)')
Labels = frozenset[tuple[str, str]]


@dataclass
class Read:
    """`samples` by name and labels; `kinds` by family."""

    kinds: dict[str, str] = field(default_factory=dict)
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def value(self, name: str, **labels: str) -> float:
        """The sum over every sample that has these labels; 0 if there is none."""
        wanted = set(labels.items())
        found = [v for (n, have), v in self.samples.items() if n == name and wanted <= have]
        return sum(found)

    def values_of(self, name: str, label: str) -> set[str]:
        return {dict(have)[label] for n, have in self.samples if n == name}

    def counters(self) -> dict[tuple[str, Labels], float]:
        """Everything that may only rise, but for the counters of one process."""
        return {
            key: value
            for key, value in self.samples.items()
            if self.kinds[_family(key[0], self.kinds)] != "gauge" and "pid" not in dict(key[1])
        }


def read(text: str) -> Read:
    """Fails the test at the first line that breaks a rule."""
    assert text.endswith("\n")
    found = Read()
    helped: set[str] = set()
    current = ""
    finished: set[str] = set()
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            _, _, name, words = line.split(" ", 3)
            assert re.fullmatch(NAME, name)
            assert words
            assert name not in helped, f"{name} is explained twice"
            helped.add(name)
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in {"counter", "gauge", "histogram"}
            assert name in helped
            assert name not in found.kinds
            found.kinds[name] = kind
            finished.add(current)
            current = name
            continue
        parts = SAMPLE.fullmatch(line)
        assert parts, f"no sample: {line!r}"
        name, inside, value = parts.groups()
        family = _family(name, found.kinds)
        assert family == current, f"{name} stands outside its family"
        assert family not in finished
        key = (name, _labels(inside or ""))
        assert key not in found.samples, f"{line!r} stands twice"
        found.samples[key] = float(value)
    for name, kind in found.kinds.items():
        assert name.endswith("_total") == (kind == "counter"), name
        if kind == "histogram":
            _check_histogram(name, found)
    return found


def _family(name: str, kinds: dict[str, str]) -> str:
    if name in kinds:
        return name
    stem = re.sub(r"_(bucket|sum|count)$", "", name)
    assert kinds.get(stem) == "histogram", f"{name} has no TYPE"
    return stem


def _labels(inside: str) -> Labels:
    pairs, at = [], 0
    while at < len(inside):
        found = LABEL.match(inside, at)
        assert found, f"no label: {inside[at:]!r}"
        text = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], found[2])
        pairs.append((found[1], text))
        at = found.end()
    assert not inside.endswith(",")
    assert len(dict(pairs)) == len(pairs)
    return frozenset(pairs)


def _check_histogram(name: str, found: Read) -> None:
    series: dict[Labels, list[tuple[float, float]]] = defaultdict(list)
    for (sample, labels), value in found.samples.items():
        if sample == f"{name}_bucket":
            bound = float(dict(labels)["le"].replace("+Inf", "inf"))
            rest = frozenset(pair for pair in labels if pair[0] != "le")
            series[rest].append((bound, value))
    assert series
    for labels, buckets in series.items():
        bounds = [bound for bound, _ in buckets]
        counts = [count for _, count in buckets]
        assert bounds == sorted(set(bounds))
        assert bounds[-1] == float("inf")
        assert counts == sorted(counts), f"{name} is not cumulative"
        assert found.samples[f"{name}_count", labels] == counts[-1]
        assert (f"{name}_sum", labels) in found.samples
