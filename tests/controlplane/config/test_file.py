"""The file's limits, watching it, and `manage.py config check`."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from controlplane.config.file import SETTLE_S, FileWatch, sync_file
from tests.support.configuration import EXAMPLE, mistakes

ROOT = Path(__file__).parents[3]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def settle(self) -> None:
        self.now += SETTLE_S


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watching(file: Path, clock: Clock) -> FileWatch:
    watch = FileWatch({"SWITCHYARD_CONFIG": str(file)}, clock=clock)
    assert watch.changed()
    assert not watch.changed()
    return watch


def is_reported_once_settled(watch: FileWatch, clock: Clock) -> bool:
    if watch.changed():
        return False
    clock.settle()
    return watch.changed() and not watch.changed()


def test_a_watch_reports_at_first_even_without_a_file() -> None:
    watch = FileWatch({})
    assert watch.changed()
    assert not watch.changed()


def test_an_edit_is_reported_once_and_only_when_it_stands_still(
    tmp_path: Path, clock: Clock
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("bench: {failures: 1}")
    watch = watching(file, clock)
    file.write_text("")  # an editor truncates
    assert not watch.changed()
    clock.now += SETTLE_S * 0.6
    file.write_text("bench: {failures: 22}")  # and writes
    assert not watch.changed()
    clock.now += SETTLE_S * 0.6
    assert not watch.changed()
    clock.now += SETTLE_S * 0.6
    assert watch.changed()
    assert not watch.changed()


def test_a_file_that_never_stands_still_is_read_all_the_same(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "switchyard.yaml"
    watch = watching(file, clock)
    reports = []
    for number in range(20):
        file.write_text("#" * (number + 1))
        clock.now += SETTLE_S * 0.6
        reports.append(watch.changed())
    assert reports.count(True) == 2
    assert not any(reports[:8])


def test_a_file_that_is_replaced_goes_or_comes_is_a_change(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("bench: {failures: 1}")
    watch = watching(file, clock)
    other = tmp_path / "other.yaml"
    other.write_text("bench: {failures: 2}")
    times = file.stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(file)
    assert is_reported_once_settled(watch, clock)
    file.unlink()
    assert is_reported_once_settled(watch, clock)
    file.write_text("")
    assert is_reported_once_settled(watch, clock)


def test_a_link_that_points_elsewhere_is_a_change(tmp_path: Path, clock: Clock) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text("bench: {}")
    link = tmp_path / "c.yaml"
    link.symlink_to("one")
    watch = watching(link, clock)
    link.unlink()
    link.symlink_to("two")
    assert is_reported_once_settled(watch, clock)


def test_the_rules_file_is_watched_too(tmp_path: Path, clock: Clock) -> None:
    file, rules = tmp_path / "c.yaml", tmp_path / "rules.json"
    file.write_text("failover: {rules_path: rules.json}")
    rules.write_text("{}")
    watch = watching(file, clock)
    rules.write_text('{"a": ["b"]}')
    assert is_reported_once_settled(watch, clock)
    file.write_text("bench: {}")
    assert is_reported_once_settled(watch, clock)
    rules.write_text('{"a": ["b", "c"]}')
    clock.settle()
    assert not is_reported_once_settled(watch, clock)


@pytest.mark.django_db
def test_a_message_is_logged_once_until_it_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="switchyard.config")
    file = tmp_path / "c.yaml"
    environ = {"SWITCHYARD_CONFIG": str(file), "FEATURE_FALLBACK_MODE": "auto"}
    for text in ("", "", "bench: {failures: 0}", "bench: {failures: 0}", ""):
        file.write_text(text)
        sync_file(environ)
    words = ["refused" if "refused" in line else "deprecated" for line in caplog.messages]
    assert words == ["deprecated", "refused", "deprecated"]


# the limits


def test_a_billion_laughs_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "too many values" in mistakes("\n".join(lines))[0]


@pytest.mark.parametrize("depth", [30, 600])
def test_a_file_nested_too_deep_is_refused(depth: int) -> None:
    assert "nested too deep" in mistakes("a: " + "[" * depth + "]" * depth)[0]


def test_a_file_over_the_limit_is_refused() -> None:
    assert "too large" in mistakes("#" + "x" * (4 * 1024 * 1024))[0]


# the command


def test_check_says_what_is_in_a_good_file() -> None:
    out = io.StringIO()
    call_command("config", "check", str(EXAMPLE), stdout=out)
    *warnings, summary = out.getvalue().splitlines()
    assert len(warnings) >= 2
    assert all(warning.startswith("warning: ") for warning in warnings)
    assert summary == (
        f"{EXAMPLE}: good; 5 providers, 2 pools, 4 candidates, 3 aliases, 1 rule, 0 keys"
    )


def test_check_names_every_mistake_and_exits_1(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("bench: {failures: 0}\nextra: 1\n")
    err = io.StringIO()
    with pytest.raises(CommandError) as refused:
        call_command("config", "check", str(file), stderr=err)
    assert refused.value.returncode == 1
    assert [line.split(": ")[0] for line in err.getvalue().splitlines()] == [
        f"{file}:1",
        f"{file}:2",
    ]


def test_check_without_a_file_asks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWITCHYARD_CONFIG", raising=False)
    with pytest.raises(CommandError, match="SWITCHYARD_CONFIG"):
        call_command("config", "check")


@pytest.mark.parametrize(("text", "code"), [("{}", 0), ("bench: {failures: 0}", 1)])
def test_check_needs_no_database(tmp_path: Path, text: str, code: int) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "config", "check"],
        env={
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(tmp_path / "data"),
            "DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing",
            "SWITCHYARD_CONFIG": str(file),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert ("bench.failures" in done.stderr) == bool(code)
