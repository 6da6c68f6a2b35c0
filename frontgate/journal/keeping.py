"""What may be archived and what may go: questions of retention to the journal.

Everything is asked by key and in pages. Rows of packages, receipts and segments stay for ever; only
segment files and old audit entries go, and only what an archive holds.
"""

from __future__ import annotations

from collections.abc import Iterator

from frontgate.journal import extracts
from frontgate.journal.states import AGING, either
from frontgate.journal.store import Reader, Tx
from frontgate.values import Struct


class Border(Struct, frozen=True):
    """The last row of each table that archives hold. number, digest: of the newest archive."""

    number: int = 0
    digest: str = ""
    package: int = 0
    quarantine: int = 0
    receipt: int = 0
    event: int = 0
    head: str = ""
    epoch: int = 0


class Original(Struct, frozen=True):
    """A sealed package, or set-aside bytes, as they lie in a segment."""

    row: int
    direction: str
    message_id: str
    path: str
    offset: int
    size_bytes: int
    digest: str
    made_at: str


class Terms(Struct, frozen=True):
    """RFC 3339 times: what happened before may go.

    payload: handed over. sent: delivered everywhere (the sender's copy). audit: everything else.
    """

    payload: str
    sent: str
    audit: str


def border(source: Tx | Reader) -> Border:
    """Where the newest archive ends."""
    row = source.one(
        "SELECT number, digest, package_to, quarantine_to, receipt_to, event_to, event_head, epoch"
        " FROM archive ORDER BY number DESC LIMIT 1"
    )
    if row is None:
        return Border()
    return Border(
        int(row[0]),
        str(row[1]),
        int(row[2]),
        int(row[3]),
        int(row[4]),
        int(row[5]),
        str(row[6]),
        int(row[7]),
    )


def add_archive(tx: Tx, name: str, size_bytes: int, to: Border, xml: bytes) -> None:
    """Register an archive that is durable and was read back; it is a checkpoint from now on."""
    tx.run(
        "INSERT INTO archive (number, name, size_bytes, digest, package_to, quarantine_to, receipt_to,"
        " event_to, event_head, epoch, xml, made_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        to.number,
        name,
        size_bytes,
        to.digest,
        to.package,
        to.quarantine,
        to.receipt,
        to.event,
        to.head,
        to.epoch,
        xml,
        tx.now_at,
    )


def originals(reader: Reader, after: int, before_at: str, limit: int) -> list[Original]:
    """Packages after a row id, in order, until the first that was made at `before_at` or later."""
    rows = reader.all(
        "SELECT p.id, p.direction, p.message_id, coalesce(s.path, ''), p.offset_bytes, p.size_bytes,"
        " p.digest, p.made_at FROM package p LEFT JOIN segment s ON s.id = p.segment_id"
        " AND s.state = 'kept' WHERE p.id > ? ORDER BY p.id LIMIT ?",
        after,
        limit,
    )
    return _until([Original(*r) for r in rows], before_at)


def set_aside(reader: Reader, after: int, before_at: str, limit: int) -> list[Original]:
    """Set-aside bytes after a row id, the same way."""
    rows = reader.all(
        "SELECT q.id, q.origin, q.name, coalesce(s.path, ''), q.offset_bytes, q.size_bytes, '', q.at"
        " FROM quarantine q LEFT JOIN segment s ON s.id = q.segment_id AND s.state = 'kept'"
        " WHERE q.id > ? ORDER BY q.id LIMIT ?",
        after,
        limit,
    )
    return _until([Original(*r) for r in rows], before_at)


def _until(rows: list[Original], before_at: str) -> list[Original]:
    found: list[Original] = []
    for row in rows:
        if row.made_at >= before_at:
            break
        found.append(row)
    return found


def receipts_after(
    reader: Reader, after: int, before_at: str, limit: int
) -> list[tuple[int, bytes, bytes]]:
    """(row, receipt, signature) of receipts after a row id, until the first kept too late."""
    found: list[tuple[int, bytes, bytes]] = []
    for row, xml, signature, kept_at in reader.all(
        "SELECT r.id, r.xml, s.xml, r.kept_at FROM receipt r JOIN signature s ON s.id = r.signature_id"
        " WHERE r.id > ? ORDER BY r.id LIMIT ?",
        after,
        limit,
    ):
        if str(kept_at) >= before_at:
            break
        found.append((int(row), bytes(xml), bytes(signature)))
    return found


_LAST_HANDED = """
  NOT EXISTS (SELECT 1 FROM transfer t WHERE t.package_id = p.id
    AND NOT EXISTS (SELECT 1 FROM receipt r WHERE r.package_id = p.id AND r.kind = '{kind}'
      AND (r.receiver = t.receiver OR t.receiver = '') AND r.kept_at < :{term}))"""
_ALL_RECIPIENTS = """
  (SELECT count(DISTINCT r.receiver) FROM receipt r WHERE r.package_id = p.id
    AND r.kind = 'delivered' AND r.kept_at < :sent AND instr(' ' || p.recipients || ' ',
    ' ' || r.receiver || ' ') > 0)
  = length(p.recipients) - length(replace(p.recipients, ' ', '')) + 1"""
_ALL_FINAL = """
  NOT EXISTS (SELECT 1 FROM transfer t WHERE t.package_id = p.id AND (t.state NOT IN
    ('ACKNOWLEDGED', 'FAILED', 'CANCELLED', 'UNCONFIRMED') OR t.changed_at >= :audit))"""
_STAYS = f"""
  p.id > :package_to OR NOT (
    ({_ALL_FINAL} AND p.made_at < :audit)
    OR (p.state = 'ADMITTED' AND p.direction = 'in' AND {_LAST_HANDED.format(kind="handed-over", term="payload")})
    OR (p.state = 'ADMITTED' AND p.direction = 'out' AND {_ALL_RECIPIENTS}))"""
_MAY_GO = f"""
  SELECT s.id, s.path FROM segment s WHERE s.state = 'kept' AND s.id > :after AND s.made_at < :newest
  AND NOT EXISTS (SELECT 1 FROM package p WHERE p.segment_id = s.id AND ({_STAYS}))
  AND NOT EXISTS (SELECT 1 FROM package p JOIN transfer t ON t.package_id = p.id
    WHERE p.segment_id = s.id AND {either(AGING, "t")})
  AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.segment_id = s.id
    AND (q.id > :quarantine_to OR q.at >= :audit))
  ORDER BY s.id LIMIT :limit"""  # noqa: S608 (fixed texts)


def segments_to_go(
    source: Tx | Reader, to: Border, terms: Terms, *, after: int, limit: int
) -> list[tuple[int, str]]:
    """(id, path) of segments in which everything is archived and past its term.

    A segment is shared by several packages: it goes when all of them may. One that only carried
    receipts and control messages goes with the shortest term; what it said is in the journal.
    """
    values = {
        "package_to": to.package,
        "quarantine_to": to.quarantine,
        "payload": terms.payload,
        "sent": terms.sent,
        "audit": terms.audit,
        "newest": max(terms.payload, terms.sent),
        "after": after,
        "limit": limit,
    }
    return [(int(r[0]), str(r[1])) for r in source.db.execute(_MAY_GO, values)]


def mark(tx: Tx, segment_ids: list[int], state: str) -> None:
    """state: `going` before the files are removed, `gone` after."""
    for segment_id in segment_ids:
        tx.run("UPDATE segment SET state = ? WHERE id = ?", state, segment_id)


def going(source: Tx | Reader, limit: int) -> list[tuple[int, str]]:
    """Segments whose files were to be removed when a run was cut off."""
    rows = source.all(
        "SELECT id, path FROM segment WHERE state = 'going' ORDER BY id LIMIT ?", limit
    )
    return [(int(r[0]), str(r[1])) for r in rows]


def events_to_go(source: Tx | Reader, audit_before: str) -> int:
    """The newest archive border all of whose entries are older; 0 if there is none."""
    row = source.one(
        "SELECT max(a.event_to) FROM archive a JOIN event e ON e.seq = a.event_to WHERE e.at < ?",
        audit_before,
    )
    return int(row[0] or 0) if row else 0


def remove_events(tx: Tx, to: int, limit: int) -> int:
    """Remove the oldest entries up to a border, `limit` at most. Returns: how many went.

    What projections follow is kept aside, so that they can still be built anew.
    """
    extracts.keep_told(tx, to, limit)
    return tx.run(
        "DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE seq <= ? ORDER BY seq LIMIT ?)",
        to,
        limit,
    )


def is_kept(source: Tx | Reader, package_id: int) -> bool:
    """Whether a package's bytes are still here."""
    return (
        source.one(
            "SELECT 1 FROM package p JOIN segment s ON s.id = p.segment_id"
            " WHERE p.id = ? AND s.state = 'kept'",
            package_id,
        )
        is not None
    )


def archive_of(source: Tx | Reader, package_id: int) -> str:
    """The name of the archive that holds a package; empty if none does."""
    row = source.one(
        "SELECT name FROM archive WHERE package_to >= ? ORDER BY number LIMIT 1", package_id
    )
    return "" if row is None else str(row[0])


def archives(reader: Reader) -> Iterator[tuple[str, int]]:
    """(name, size) of all archives, oldest first."""
    for name, size in reader.all("SELECT name, size_bytes FROM archive ORDER BY number"):
        yield str(name), int(size)
