"""Whole runs. How fast anything is, is no test."""

from __future__ import annotations

import shutil

from bench import __main__ as command
from bench import report
from bench.gateways import under_test


def test_a_short_run_measures_switchyard_and_gives_a_table(migrated_data_dir):
    def switchyard(folder):
        shutil.copytree(migrated_data_dir, folder / "data")
        return under_test.Switchyard(folder)

    values = command.collect(["failover"], runs=1, seconds=0.05, gateway=switchyard)

    assert values["failover_errors"] == [0]
    assert "failover after a 503, added at p50" in report.markdown(values)
