"""What the kernel says of processes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench import processes


@pytest.mark.pure
@pytest.mark.parametrize(
    ("shown", "seconds"),
    [("0:00.12", 0.12), ("01:02", 62), ("1:00:01", 3601), ("2-00:00:05", 172_805)],
)
def test_the_times_of_ps_are_read(shown, seconds):
    assert processes.seconds_of(shown) == pytest.approx(seconds)


def test_cpu_time_of_a_tree_holds_that_of_a_child_that_has_ended():
    burn = "import time\nwhile time.process_time() < 0.1: pass"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\ninput()"
    with processes.started([sys.executable, "-c", f"{parent}"], stdin=subprocess.PIPE) as process:
        processes.wait_until_quiet(process.pid)

        assert [found.pid for found in processes.tree(process.pid)] == [process.pid]
        assert processes.cpu_s(process.pid) >= 0.1
