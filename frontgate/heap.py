"""Memory that was freed stays for the next block of a transfer.

glibc gives the top of its heap back to the kernel as soon as 128 KiB of it are free, so that each packet of
a large file is grown, cleared page by page and given back again: three quarters of the processor's time of an
SFTP server at 256 KiB a packet. Source: mallopt(3), M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
KEPT_BYTES = 8 << 20
"""So much a process may hold beyond what it uses."""


def keep_freed() -> bool:
    """For this process, from now on. Returns: whether its C library has such settings; else nothing is
    changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return all(
        mallopt(setting, value) == 1
        for setting, value in (
            (_TRIM_THRESHOLD, KEPT_BYTES),
            (_TOP_PAD, KEPT_BYTES // 8),
            (_MMAP_THRESHOLD, KEPT_BYTES // 2),
        )
    )
