"""Odd scalars in the configuration file: the right value or a mistake with its line, no third."""

from __future__ import annotations

import os
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command
from django.db import DataError
from hypothesis import given
from hypothesis import strategies as st

from controlplane.config import document, file, mirror
from controlplane.config.document import parse
from controlplane.config.yaml import ConfigErrors
from controlplane.models import ConfigSource

if TYPE_CHECKING:
    from pathlib import Path

    from controlplane.config.document import Document

ODD = [
    "!!int three", "!!int ''", "0x_", "!!float x", "!!bool maybe", "!!bool ''", ".Inf", ".INF",
    "-.inf", ".NaN", "1e400", "~", "!!timestamp x", "!!binary eA==", "[]", "{}",
]  # fmt: skip


def _parsed(text: str, **environ: str) -> Document:
    return parse(text, filename="c.yaml", environ=environ)


@pytest.mark.parametrize("scalar", ODD)
@pytest.mark.parametrize("field", ["window_s", "failures"])
def test_what_is_no_number_is_a_mistake_with_its_line(field: str, scalar: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        _parsed(f"bench:\n  {field}: {scalar}\n")

    assert caught.value.errors[0].startswith(f"c.yaml:2: bench.{field}: ")


@pytest.mark.parametrize("word", ["yes", "on", "Y", "True"])
def test_the_older_yaml_s_words_mean_what_they_say(word: str) -> None:
    no = {"yes": "no", "on": "off", "Y": "N", "True": "False"}[word]

    assert _parsed(f"failover: {{enabled: !!bool {word}}}").values["failover.enabled"]["value"]
    assert not _parsed(f"failover: {{enabled: !!bool {no}}}").values["failover.enabled"]["value"]


def test_a_file_of_the_older_yaml_is_read_by_its_words() -> None:
    read = _parsed("%YAML 1.1\n---\nfailover: {enabled: yes}\n")

    assert read.values["failover.enabled"]["value"] is True


@pytest.mark.parametrize("text", ["${A:-${B}}", "${A:-${B:-x}y}", "${A:-x${B}"])
def test_a_variable_inside_a_default_is_a_mistake(text: str) -> None:
    with pytest.raises(ConfigErrors, match=r"c.yaml:1: .*a broken variable"):
        _parsed(f'providers: {{a: {{kind: openai, api_key: "{text}"}}}}', B="sk-b")


def test_json_s_pairs_of_surrogates_are_one_character() -> None:
    read = _parsed('{"failover": {"disabled_models": ["\\ud83d\\ude00"]}}')

    assert read.values["failover.disabled_models"]["value"] == ["\N{GRINNING FACE}"]


def test_so_they_are_in_keys() -> None:
    read = _parsed('{"failover": {"rules": {"\\ud83d\\ude00": ["small"]}}}')

    assert read.rules == {"\N{GRINNING FACE}": ("small",)}


def test_half_a_pair_in_a_key_is_told_as_what_it_is() -> None:
    with pytest.raises(ConfigErrors, match="half of a surrogate pair"):
        _parsed('{"failover": {"rules": {"\\ud83d": ["small"]}}}')


@pytest.mark.parametrize("number", ["010", "-017", "0_7"])
def test_the_older_yaml_s_octal_numbers_are_a_mistake(number: str) -> None:
    with pytest.raises(ConfigErrors, match=r"^c.yaml:3: bench.failures: .*octal"):
        _parsed(f"%YAML 1.1\n---\nbench: {{failures: {number}}}\n")


@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00", "\\ude00\\ud83d"])
def test_half_a_pair_is_a_mistake(half: str) -> None:
    with pytest.raises(ConfigErrors, match="half of a surrogate pair"):
        _parsed(f'{{"failover": {{"disabled_models": ["{half}"]}}}}')


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_a_moment_that_cannot_be_counted_with_is_a_mistake(moment: str) -> None:
    with pytest.raises(ConfigErrors, match="expires_at: too far away"):
        _parsed(f'keys: [{{name: a, key: "sy_0123456789", expires_at: "{moment}"}}]')


@given(
    field=st.sampled_from(["bench.window_s", "bench.failures", "failover.enabled"]),
    tag=st.sampled_from(["", "!!int ", "!!float ", "!!bool ", "!!str ", "!!null "]),
    text=st.text(alphabet="0123456789.eExobinfaNAyrts_+-:~T $", max_size=12),
)
def test_whatever_stands_there_is_a_value_or_a_mistake(field: str, tag: str, text: str) -> None:
    block, name = field.split(".")
    try:
        said = list(_parsed(f"{block}: {{{name}: {tag}{text}}}").values)
    except ConfigErrors as refused:
        said = list(refused.errors)

    assert all(line == field or line.startswith("c.yaml:1") for line in said)


@pytest.mark.django_db
def test_a_fault_of_ours_in_reading_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("bench: {failures: 3}\n")

    def broken(*_args: object, **_more: object) -> Document:
        raise OverflowError("too large")

    monkeypatch.setattr(file, "parse", broken)

    result = file.sync_file({**os.environ, file.VARIABLE: str(path)})

    assert not result.applied
    assert "cannot be taken over: OverflowError" in result.errors[0]


def test_the_command_that_checks_shows_no_traceback_whatever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("bench: {failures: 3}\n")

    def broken(*_args: object, **_more: object) -> None:
        raise OverflowError("too large")

    monkeypatch.setattr(document, "read_environment", broken)

    with pytest.raises(CommandError, match="1 mistake"):
        call_command("config", "check", str(path), stderr=StringIO())


@pytest.mark.django_db
def test_what_no_table_can_hold_is_the_file_s_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("bench: {failures: 3}\n")

    def broken(*_args: object) -> bool:
        raise DataError("value out of range")

    monkeypatch.setattr(mirror, "mirror", broken)

    result = file.sync_file({**os.environ, file.VARIABLE: str(path)})

    assert "value out of range" in result.errors[0]
    assert ConfigSource.load().refused_errors == list(result.errors)
