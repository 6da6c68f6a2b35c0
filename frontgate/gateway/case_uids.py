"""CaseUids for new cases of this gateway's units."""

from __future__ import annotations

from datetime import UTC, datetime

from frontgate.core import identifiers, minting
from frontgate.journal import Journal


def mint_case(journal: Journal, key: str, unit: str) -> str:
    """A CaseUid for a new case: the same again for the same key, never used twice, and journaled
    before anybody sees it. Raises: JournalError.
    """
    row = journal.look.one("SELECT case_uid FROM minted_case WHERE key = ?", key)
    if row is not None:
        return str(row[0])
    with journal.write() as tx:
        year = tx.now.year
        floor = minting.case_serial_floor(datetime.fromtimestamp(tx.epoch, UTC), year)
        serial = tx.next_number(f"case:{unit}:{year}", floor)
        value = identifiers.case_uid(year, unit, serial)
        tx.run("INSERT INTO minted_case (key, case_uid) VALUES (?, ?)", key, value)
        tx.event("case-minted", unit=unit, case=value)
    return value
