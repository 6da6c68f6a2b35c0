"""Receipt files in the spools: projections of the journal.

They are written right after the commit, without an fsync of their own, and stay marked as
unflushed until the file system was synced; after a crash every unflushed one is made again. The
case software may see one twice after a power cut, and never misses one.
"""

from __future__ import annotations

from collections.abc import Callable

from frontgate import clock, durable
from frontgate.gateway.stations import Posts
from frontgate.journal import Journal, Reader, receipts
from frontgate.seal.receipts import receipt_file
from frontgate.spool.receipts import write_receipt

FLUSH_S = 5.0
PAGE = 200
MOST_UNFLUSHED = 5000


class ReceiptFiles:
    """Writes what the journal plans. `turn` is the body of a loop."""

    def __init__(self, journal: Journal, posts: Posts, wake: Callable[[], None]) -> None:
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._posts = posts
        self._after = 0
        self._begin_again = False
        self._written: set[tuple[str, str]] = set()
        self._flush_at = clock.monotonic() + FLUSH_S
        self.wake = wake

    def write_again(self) -> None:
        """Older receipts were planned once more: look from the beginning."""
        self._begin_again = True
        self.wake()

    def turn(self) -> float | None:
        """Write new files; now and then make all of them durable. Returns: when to come again."""
        if self._begin_again:
            self._begin_again = False
            self._after = 0
        while len(self._written) < MOST_UNFLUSHED:
            files = receipts.unflushed_files(self._reader, self._after, PAGE)
            for file in files:
                post = self._posts.by_key.get(file.spool)
                if post is not None:
                    write_receipt(post.paths, file.name, receipt_file(file.xml, file.signature))
                self._written.add((file.spool, file.name))
                self._after = file.receipt
            if len(files) < PAGE:
                break
        if not self._written:
            self._flush_at = clock.monotonic() + FLUSH_S
            return None
        left = self._flush_at - clock.monotonic()
        if left > 0 and len(self._written) < MOST_UNFLUSHED:
            return left
        self._flush()
        return 0.0

    def _flush(self) -> None:
        try:
            for post in self._posts.posts:
                durable.sync_file_system(post.paths.receipts)
        except OSError:
            # The system tells of lost pages once: what was written since the last good sync is
            # written again before a later sync may count.
            self._written.clear()
            self._begin_again = True
            raise
        with self._journal.write() as tx:
            receipts.mark_flushed(tx, sorted(self._written))
        self._written.clear()
        self._flush_at = clock.monotonic() + FLUSH_S
