"""Judging a node from its folders alone: the invariants of the exchange, read-only.

Offers: `examine(homes)`, which looks at one home or at several together. Guarantees: nothing is
written, nothing is locked; a running daemon may go on. Facts are only compared where they cannot
change between two looks (rows are added, states go forward), so a node at work is judged as well.
Memory is constant in the number of messages: every table is paged by its key.
"""

from frontgate.inspect.examine import examine
from frontgate.inspect.home import Home, Spool
from frontgate.inspect.verdict import INVARIANTS, Breach, Verdict

__all__ = ["INVARIANTS", "Breach", "Home", "Spool", "Verdict", "examine"]
