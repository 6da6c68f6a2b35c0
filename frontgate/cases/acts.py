"""Acts of persons on terms and cases, recorded in the audit chain: explain, dispute, close, confirm,
admit. The chain is where they live; projections show them on the timeline.

Offers: `Acts` (`record`, and `handle` for the control socket). Guarantees: only the acting unit speaks
for its term, and what it closes counts when a second party confirms. Who the actor is, is the
caller's word: the console's session, or the operator's login.
Fails: `CaseError` FG-CAS-001..006.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from frontgate import clock
from frontgate.cases.read import Cases
from frontgate.core.deadlines import LEGAL_TIME
from frontgate.core.identifiers import is_unit_code
from frontgate.errors import CaseError
from frontgate.journal import Journal
from frontgate.standard import Standards

MOST_TEXT = 500
REASONS = "due-reason"
OWN = ("explain", "dispute", "close")
COMMITTEE = "committee"


class Acts:
    """Writes acts into the journal; looks terms and parties up in the projections."""

    def __init__(self, journal: Journal, cases: Path, standards: Standards) -> None:
        self._journal = journal
        self._path = cases
        self._standards = standards

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request `case-act` of the control socket. Keys: kind, item, unit, actor, code, text."""
        values = {
            k: str(request.get(k, "")) for k in ("kind", "item", "unit", "actor", "code", "text")
        }
        return {"seq": self.record(**values)}

    def record(
        self, kind: str, item: str, unit: str, actor: str, code: str = "", text: str = ""
    ) -> int:
        """Record one act. item: a term's id, or a CaseUid for `admit` (code: the unit admitted).

        Returns: its number in the audit chain. Raises: CaseError.
        """
        text = "".join(c if c.isprintable() else " " for c in text)[:MOST_TEXT].strip()
        source = Cases(self._path)
        try:
            case_uid = (
                self._judge_admission(source, item, unit, code)
                if kind == "admit"
                else self._judge(source, kind, item, unit, actor, code, text)
            )
        finally:
            source.close()
        with self._journal.write() as tx:
            seq, _ = tx.event(
                "case-act",
                act=kind,
                item=item,
                case=case_uid,
                unit=unit,
                actor=actor,
                code=code,
                text=text,
            )
        return seq

    def _judge(
        self, source: Cases, kind: str, item: str, unit: str, actor: str, code: str, text: str
    ) -> str:
        found = source.deadline(item)
        if found is None or kind not in (*OWN, "confirm"):
            raise CaseError("FG-CAS-001", value=item or kind)
        if kind in OWN:
            if unit != found.unit:
                raise CaseError("FG-CAS-002", value=unit, expected=found.unit)
            codes = self._standards.version(self._standards.newest).code_list(REASONS)
            if not text or not codes.has(code, clock.now().astimezone(LEGAL_TIME).date()):
                raise CaseError("FG-CAS-006", value=code)
            return found.case_uid
        if unit == found.unit:
            raise CaseError("FG-CAS-003", value=unit)
        roles = self._standards.version(self._standards.newest).roles_by_type(unit)
        if COMMITTEE not in roles and not source.may_view(found.case_uid, unit):
            raise CaseError("FG-CAS-005", value=unit, case=found.case_uid)
        # The newest of them too: no number of other acts may stand before it.
        closed = [a for a in source.acts(item=item, kind="close") if a.unit == found.unit]
        if not closed:
            raise CaseError("FG-CAS-004", value=item)
        # A person who moved to another unit, or speaks for several, is no second party.
        if any(a.actor == actor for a in closed):
            raise CaseError("FG-CAS-003", value=actor)
        return found.case_uid

    @staticmethod
    def _judge_admission(source: Cases, case_uid: str, unit: str, admitted: str) -> str:
        if source.case(case_uid) is None:
            raise CaseError("FG-CAS-001", value=case_uid)
        if unit == admitted or not source.may_view(case_uid, unit):
            raise CaseError("FG-CAS-005", value=unit, case=case_uid)
        if not is_unit_code(admitted):
            raise CaseError("FG-CAS-001", value=admitted)
        return case_uid
