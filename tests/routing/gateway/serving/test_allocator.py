"""Reading through large buffers costs no page of memory each time."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

READS = 1000
PROGRAM = f"""
import os, resource
from routing.gateway.serving.allocator import keep_read_buffers

{{first}}
read, write = os.pipe()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def look():
    os.write(write, b"a few bytes")
    return os.read(read, 256 * 1024)

look()
before = faults()
for _ in range({READS}):
    look()
print(faults() - before)
"""


def page_faults(first: str) -> int:
    program = PROGRAM.format(first=first)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_a_buffer_that_is_read_into_and_cut_is_not_mapped_anew_each_time() -> None:
    assert page_faults("") >= READS
    assert page_faults("keep_read_buffers()") < READS / 10
