"""Looking at one home or at several, and summing up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from frontgate.inspect import across, evidence, ledger, spooled, stored
from frontgate.inspect.home import Home
from frontgate.inspect.verdict import INVARIANTS, Tally, Verdict
from frontgate.journal import audit
from frontgate.values import Struct


class Examination(Struct, frozen=True):
    """verdicts: one per invariant, by number. chains: what walking each node's audit chain found."""

    verdicts: tuple[Verdict, ...]
    chains: dict[str, audit.Examination]

    @property
    def holds(self) -> bool:
        return all(verdict.holds for verdict in self.verdicts)


def examine(homes: Sequence[Home], *, archives: Path | None = None) -> Examination:
    """Judge every home by itself, and all of them together.

    archives: folder of the archive files of a single home. Raises: JournalError FG-JRN-001 where a
    journal cannot be read; ParcelError where an archive is missing or does not hold.
    """
    verdicts = {number: Verdict(number) for number in INVARIANTS}
    # What is open may still be settled in time, unless all is said to be at rest.
    verdicts[13].is_judged = all(home.is_settled for home in homes)
    walked: dict[str, audit.Examination] = {}
    for home in homes:
        tally = Tally(verdicts, home.name)
        walked[home.name] = evidence.check_audit(home, tally, archives)
        ledger.check_packages(home, tally)
        ledger.check_replays(home, tally)
        ledger.check_order(home, tally)
        ledger.check_quarantine(home, tally)
        evidence.check_receipts(home, tally)
        stored.check_custody(home, tally)
        stored.check_stored(home, tally)
        stored.check_folders(home, tally)
        stored.check_mailboxes(home, tally)
        stored.check_rights(home, tally)
        for spool in home.spools:
            spooled.check_spool(home, spool, tally)
    across.check_across(homes, verdicts)
    return Examination(tuple(verdicts[n] for n in sorted(verdicts)), walked)
