"""Memory that was freed stays for the next block of a transfer.

glibc gives the top of its heap back to the kernel as soon as 128 KiB of it are free, so that each packet of
a large file is grown, cleared page by page and given back again: three quarters of the processor's time of an
SFTP server at 256 KiB a packet. And it gives each thread a heap of its own, up to eight a core, each of which
grows to the largest that its threads ever needed: two for all are enough where one thread runs at a time.
What lies free between blocks in use is given back now and then, else a daemon grows for days.
Objects in circles are freed by Python's collector, which need not look at what a start has made.
Source: mallopt(3), M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX; malloc_trim(3).
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from functools import cache

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
HEAPS = 2
KEPT_BYTES = 8 << 20
"""So much each heap may hold beyond what it uses."""
GIVEN_BACK_S = 10.0
"""What a momentary peak took, 2 MB, is held for no longer."""


def make_without_collecting() -> None:
    """While a daemon starts it makes what it keeps, a hundred thousand objects: there is nothing to collect. Ends
    with `keep_made`.
    """
    gc.disable()


def keep_made() -> None:
    """What there is by now stays for the life of the process: no collection looks at it any more. Else a full one
    takes seven milliseconds, and what it would free waits for it until a quarter as much again was made.
    """
    gc.freeze()
    gc.enable()


def keep_freed() -> bool:
    """For this process, from now on; before it has threads. Returns: whether its C library has such settings; else nothing is
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
            (_ARENA_MAX, HEAPS),
        )
    )


def give_back() -> float:
    """The body of a loop: whole free pages go back to the kernel, in a millisecond or two. Returns: seconds
    until the next time.
    """
    trim = _trim()
    if trim is not None:
        trim(0)
    return GIVEN_BACK_S


@cache
def _trim() -> Callable[[int], int] | None:
    """`malloc_trim`; None where the C library has none. Kept: each look-up makes types that only a full
    collection takes away.
    """
    try:
        return ctypes.CDLL(None).malloc_trim
    except AttributeError:
        return None
