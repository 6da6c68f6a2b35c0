"""A process that moves large blocks does not ask the kernel for the same memory again and again."""

import gc
import subprocess
import sys

from frontgate.heap import give_back

LOOP = """
import resource
{first}
kept = [bytes(4000) for _ in range(100)]
def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def move(times):
    for _ in range(times):
        a = bytearray(300_000)
        b = bytes(a)
        c = b[1:]
        del a, b, c
move(20)
before = pages()
move(500)
print(pages() - before)
"""


def _faults(first: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", LOOP.format(first=first)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_blocks_of_a_transfer_use_the_same_pages_again() -> None:
    with_it = _faults("from frontgate.heap import keep_freed; assert keep_freed()")
    without = _faults("")
    assert with_it < 500 < 5000 < without


THREADS = """
import threading
from frontgate.heap import keep_freed
assert keep_freed()
turn = threading.Lock()
def work():
    for _ in range(5):
        with turn:
            blocks = [bytes(100_000) for _ in range(60)]
            del blocks
def own():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("RssAnon:"))
before = own()
threads = [threading.Thread(target=work) for _ in range(24)]
[t.start() for t in threads]
[t.join() for t in threads]
print(own() - before)
"""


def test_threads_share_what_they_freed() -> None:
    """Else each of a daemon's loops keeps its own largest: a growth in steps that takes days to end."""
    done = subprocess.run(
        [sys.executable, "-c", THREADS], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 24_000, "KiB; one heap for each thread keeps 90 000"


HOLES = """
from frontgate.heap import give_back, keep_freed
assert keep_freed()
def own():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("RssAnon:"))
before = own()
blocks = [bytes(4000) for _ in range(10_000)]
kept = blocks[::100]
del blocks
full = own() - before
assert give_back() >= 5
print(full, own() - before)
"""


def test_what_lies_free_between_blocks_in_use_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    full, left = map(int, done.stdout.split())
    assert full > 35_000, "KiB; freed, and still held: every hundredth block is in use"
    assert left < 5_000


def test_giving_back_leaves_nothing_behind() -> None:
    give_back()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(50):
        give_back()
    assert len(gc.get_objects()) - before < 10
