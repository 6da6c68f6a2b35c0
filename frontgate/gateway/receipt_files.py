"""Receipt files in the spools: projections of the journal.

They are written right after the commit, without an fsync of their own, and stay marked as
unflushed until the file system was synced; after a crash every unflushed one is made again. The
case software may see one twice after a power cut, and never misses one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from frontgate import clock, durable
from frontgate.gateway.stations import TROUBLE_LOOK_S, Post, Posts
from frontgate.journal import Journal, Reader, receipts
from frontgate.seal.receipts import receipt_file
from frontgate.spool.receipts import write_receipt

FLUSH_S = 5.0
PAGE = 200
MOST_UNFLUSHED = 5000


class _Progress:
    """How far one spool is. after: the newest receipt written. written: not yet flushed, by name, and
    which asking was answered."""

    def __init__(self) -> None:
        self.after = 0
        self.written: dict[str, int] = {}


class ReceiptFiles:
    """Writes what the journal plans, each spool by itself. `turn` is the body of a loop."""

    def __init__(self, journal: Journal, posts: Posts, wake: Callable[[], None]) -> None:
        self._journal = journal
        self._reader: Reader = journal.reader()
        self._posts = posts
        self._begin_again = False
        self._progress = {post.key: _Progress() for post in posts.posts}
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
            for progress in self._progress.values():
                progress.after = 0
        looks: list[float] = []
        for post in self._posts.posts:
            if not post.attempt("receipts", partial(self._write, post)):
                looks.append(TROUBLE_LOOK_S)
        if not any(progress.written for progress in self._progress.values()):
            self._flush_at = clock.monotonic() + FLUSH_S
            return min(looks, default=None)
        left = self._flush_at - clock.monotonic()
        is_much = any(len(p.written) >= MOST_UNFLUSHED for p in self._progress.values())
        if left > 0 and not is_much:
            return min([left, *looks])
        for post in self._posts.posts:
            post.attempt("receipts-flush", partial(self._flush, post))
        self._flush_at = clock.monotonic() + FLUSH_S
        return min(looks, default=0.0)

    def _write(self, post: Post) -> None:
        progress = self._progress[post.key]
        while len(progress.written) < MOST_UNFLUSHED:
            files = receipts.unflushed_files(self._reader, post.key, progress.after, PAGE)
            for file in files:
                # Once begun again it counts only when it is done: else what a failure leaves would stay.
                progress.written.pop(file.name, None)
                write_receipt(post.paths, file.name, receipt_file(file.xml, file.signature))
                progress.written[file.name] = file.asked
                progress.after = file.receipt
            if len(files) < PAGE:
                return

    def _flush(self, post: Post) -> None:
        written = self._progress[post.key].written
        if not written:
            return
        try:
            durable.sync_file_system(post.paths.receipts)
        except OSError:
            # The system tells of lost pages once: what was written since the last good sync is
            # written again before a later sync may count.
            written.clear()
            self._progress[post.key].after = 0
            raise
        with self._journal.write() as tx:
            receipts.mark_flushed(tx, post.key, sorted(written.items()))
        written.clear()
