"""Ways to the other side: a small contract, and one file each.

A transport carries bundles by name between this node and its peer: `put` towards it, `entries`,
`get` and `remove` what it has for us. Every implementation passes the same contract tests.
Guarantees: when `put` returns, the peer has the whole file durably under its final name; a name is
never seen by the peer before that. `put` of a name that is already there is done at once.
Fails: `TransportError`, transient or permanent by its code; after one the transport is closed and
a new one is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from frontgate.values import Struct

RESUME_BLOCK = 1 << 20
"""A download that goes on after a restart goes back a whole block of this size."""
UPLOAD_BACK = 256 << 10
"""A resumed upload goes back at most this far before the end of what is there."""


class Entry(Struct, frozen=True):
    """One complete file that waits."""

    name: str
    size_bytes: int


class Source(Protocol):
    """What is uploaded: read from any place."""

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, /) -> int: ...


class Transport(Protocol):
    """See the module. moved_bytes: content that this connection carried so far, both ways; only
    what the other side confirmed counts."""

    moved_bytes: int

    def put(self, name: str, source: Source, size_bytes: int) -> None:
        """Upload whole and durably; resumes what an earlier try left. source: seekable."""

    def entries(self) -> list[Entry]:
        """Complete files that the peer has for us, by name."""

    def get(self, name: str, sink: Callable[[bytes], object], offset: int = 0) -> int:
        """Feed the bytes from `offset` on to `sink`, in order. Returns: how many."""

    def remove(self, name: str) -> None:
        """Remove a file that we have taken; a missing one is fine."""

    def has(self, name: str) -> bool:
        """Whether the other side shows a part or the whole of an upload, not taken yet."""

    def pending(self) -> list[Entry]:
        """Complete files of ours that the peer has not taken yet."""

    def wait(self, timeout_s: float) -> bool:
        """Wait until something may be new, at most `timeout_s`. True if a bell said so."""

    def close(self) -> None: ...
