"""The journal of a node: packages, transfers, receipts, bundles and the audit chain in SQLite.

Everything that changes goes through `Journal.write()`; reading is free. One file a subject.
"""

from frontgate.journal.store import Journal, Reader, Tx, open_reader, timestamp

__all__ = ["Journal", "Reader", "Tx", "open_reader", "timestamp"]
