"""The states by which the partial indexes of transfers choose their rows, as SQLite tests them in place.

Of a list of more than two (`IN (…)`) it makes a table of its own for each statement, 100 KB and 10 µs each; for each index
that one change of a transfer touches, twice. A query uses such an index where it names one of its states, or says
the very condition of the index (https://sqlite.org/partialindex.html, 3).
"""

from __future__ import annotations

from collections.abc import Iterable

OPEN = ("QUEUED", "SENDING", "SENT", "HELD", "UNCONFIRMED")
"""Of index `transfer_open`."""
AGING = ("QUEUED", "SENDING", "SENT", "HELD")
"""Of index `transfer_age`: those that have a time limit."""
IN_ORDER = ("QUEUED", "SENDING", "SENT")
"""Of index `transfer_flow`: those that the next of their flow waits for."""
ENDED = ("FAILED", "CANCELLED", "UNCONFIRMED")
"""Of index `transfer_failed`."""
TROUBLED = ("FAILED", "UNCONFIRMED", "HELD")
"""Of index `transfer_troubled`: those that wait for a person."""


def either(states: Iterable[str], table: str = "") -> str:
    """The condition that a transfer is in one of some states. table: its name in the query."""
    column = f"{table}.state" if table else "state"
    return "(" + " OR ".join(f"{column} = '{state}'" for state in states) + ")"
