"""The table, and the figures that are kept."""

from __future__ import annotations

import json
import os

import pytest

from bench import report


@pytest.mark.pure
def test_the_table_shows_median_range_goal_and_verdict():
    table = report.markdown({"plain_cpu_us": [90, 110, 100], "idle_mb": [91], "unknown": [1]})

    assert table.splitlines()[2:] == [
        "| plain chat, CPU per request | 100 µs | 90 … 110 | ≤ 115 µs | reached |",
        "| idle inference worker, resident | 91 MiB | 91 … 91 | ≤ 90 MiB | **missed** |",
    ]


@pytest.mark.pure
def test_more_is_better_where_the_goal_says_at_least():
    table = report.markdown({"open_streams": [999]})

    assert "≥ 1,000 | **missed**" in table


def test_results_are_kept_as_json(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")

    path = report.write({"idle_mb": [43.0]}, driver="wrk")

    kept = json.loads(path.read_text())
    assert kept["figures"] == {"idle_mb": [43.0]}
    assert kept["machine"]["cores"] == os.cpu_count()
