"""A case with more persons, terms, acts, alarms, flows and ties than any page shows at once: what no test
could send one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
from ledger import FAR

MARK = "9X"
"""What the made rows are found by again."""


@contextmanager
def crowded(path: Path, case_uid: str, count: int, *, tied_to: str = "") -> Iterator[None]:
    """A projection file in which a case has so many rows more in each of its lists. tied_to: a case that
    one tie goes to, beside those to cases of nobody."""
    with closing(apsw.Connection(str(path))) as db:
        db.set_busy_timeout(5000)
        with db:
            for n in range(count):
                at = f"2026-11-14T{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d}.000Z"
                person = f"{case_uid}-P{MARK}{n:05d}"
                _copy(db, "person", f"case_uid = '{case_uid}'", person_uid=person, name=f"众{n}")
                _copy(
                    db, "deadline", f"case_uid = '{case_uid}' AND unit <> ''",
                    id=f"D{MARK}{n:05d}", subject=person, scope=MARK, start_at=at,
                    due_at="2031-01-01T00:00:00.000Z", state="open", is_lapsing=0,
                )  # fmt: skip
                _copy(
                    db, "instance", f"case_uid = '{case_uid}'", flow_uid=f"{MARK}{n}", opened_at=at
                )
                db.execute(
                    "INSERT INTO act VALUES (?, ?, 'explain', 'D0', ?, '', 'somebody', ?, ?)",
                    (FAR + n, at, case_uid, MARK, f"第{n}次说明"),
                )
                db.execute(
                    "INSERT INTO alarm VALUES (?, 'outside', ?, ?, ?, ?)",
                    (case_uid, f"U{n}", FAR + n, at, MARK),
                )
                db.execute(
                    "INSERT INTO link VALUES (?, ?, 'same-person', ?, ?, ?)",
                    (case_uid, f"C{MARK}{n:05d}", person, FAR, at),
                )
            if tied_to:
                db.execute(
                    "INSERT INTO link VALUES (?, ?, 'same-person', '', ?, '2026-11-15T00:00:00.000Z')",
                    (case_uid, tied_to, FAR),
                )
        try:
            yield
        finally:
            with db:
                db.execute("DELETE FROM person WHERE person_uid LIKE ?", (f"%-P{MARK}%",))
                db.execute("DELETE FROM deadline WHERE scope = ?", (MARK,))
                db.execute("DELETE FROM instance WHERE flow_uid LIKE ?", (f"{MARK}%",))
                db.execute("DELETE FROM act WHERE seq >= ?", (FAR,))
                db.execute("DELETE FROM alarm WHERE message >= ?", (FAR,))
                db.execute("DELETE FROM link WHERE message >= ?", (FAR,))


def _copy(db: apsw.Connection, table: str, which: str, **other: str | int) -> None:
    columns = [
        str(r[1]) for r in db.execute(f"PRAGMA table_xinfo({table})") if r[6] == 0
    ]  # not what is generated
    chosen = ", ".join("?" if c in other else c for c in columns)
    db.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {table} WHERE {which} LIMIT 1",
        tuple(other[c] for c in columns if c in other),
    )
    assert db.changes() == 1, table
