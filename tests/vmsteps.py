"""What statements cost, counted in steps of SQLite's machine: the same on every computer."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import apsw


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Statement → steps that it took since the last `clear`, on every connection opened meanwhile."""
    found: Counter[str] = Counter()

    def count(event: dict[str, object]) -> None:
        status = event["stmt_status"]
        assert isinstance(status, dict)
        found[" ".join(str(event["sql"]).split())] += status["SQLITE_STMTSTATUS_VM_STEP"]

    def hook(connection: apsw.Connection) -> None:
        connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, count)

    apsw.connection_hooks.append(hook)
    try:
        yield found
    finally:
        apsw.connection_hooks.remove(hook)
