"""A process that moves large blocks does not ask the kernel for the same memory again and again."""

import subprocess
import sys

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
