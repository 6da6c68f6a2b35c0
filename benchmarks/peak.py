"""The most memory that this process had so far.

Not `getrusage`: its `ru_maxrss` begins with what the parent had when it started the process, so that a large
parent hides all that a small child does.
"""

from __future__ import annotations

from pathlib import Path


def peak_mib() -> float:
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel tells no peak")
