"""Terms: what messages and receipts mark about them; whatever they touch is counted anew.

Offers: `Terms` (`mark`, `delivered`, `settle`, `forget`). A term that starts with a delivery waits for
its receipt. Marks are kept by case (or flow instance) and subject; timers follow in `counting`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from lxml import etree

from frontgate.cases.counting import Counting
from frontgate.cases.folding import Message
from frontgate.cases.reading import Said, subjects_of
from frontgate.cases.rules import Alters, CaseRules, Ending, Opening, Plan, TermRule
from frontgate.cases.timers import PAUSE, START, STOP
from frontgate.cases.times import moment, stored
from frontgate.core.deadlines import LEGAL_TIME, Custody, Limit, Unit, due
from frontgate.journal.files import File
from frontgate.standard.tree import text_of

CASE = "-"
"""In place of a flow: what happened in the case, whichever instance of a flow says so."""


class Terms:
    """Marks and timers in one projection file."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._counting = Counting(file)

    def mark(self, m: Message, said: Said, rules: CaseRules, plan: Plan) -> None:
        """Keep what an admitted message says of terms."""
        scope = m.case_uid or m.flow_uid
        for opening in plan.starts:
            self._start(m, said, rules, opening, scope)
        for ending in plan.stops:
            self._stop(m, said, rules, ending, scope, plan.is_terminal)
        for alters in plan.alters:
            self._alter(m, said, rules, alters, scope)
        self._stated(m, said, rules, scope)
        for uid in m.persons:
            self._by_person(m, rules, scope, uid)

    # -- starts -----------------------------------------------------------------------------------

    def _start(
        self, m: Message, said: Said, rules: CaseRules, opening: Opening, scope: str
    ) -> None:
        rule = opening.term
        if not _valid(rule, m.effective_at):
            return
        subjects = self._subjects(m, said, opening.when, rule)
        unit = self._actor(m, rules, rule)
        if subjects is None or not unit or not _is_near_enough(m, said, rules, opening):
            return
        last = dict(self._field(m, said, opening.until, rule)) if opening.until is not None else {}
        if opening.field is not None:
            for subject, stated in self._field(m, said, opening.field, rule):
                if subject in subjects:
                    at = stored(_after(stated, rule, rules))
                    self._keep(m, rules, rule, scope, subject, START, at, m.relayed_at, unit)
            return
        at, known_at = m.effective_at, m.relayed_at
        if opening.at == "delivered":
            at, known_at = self._delivered(m, unit)
        for subject in subjects:
            until = stored(last[subject]) if subject in last else ""
            self._keep(m, rules, rule, scope, subject, START, at, known_at, unit, until)

    def _subjects(
        self, m: Message, said: Said, when: etree.XPath | None, rule: TermRule
    ) -> list[str] | None:
        """Whose timer starts; None if none does. A condition on a part concerns whom that part names."""
        name = rule.subject
        everyone = {"": [""], "message": self._own(m, rule), "PersonUid": list(m.persons)}.get(
            name, list(said.items)
        )
        if when is None:
            return everyone
        found = when(said.root)
        if not isinstance(found, list):
            return everyone if found else None
        if not found:
            return None
        if name not in ("PersonUid", "PropertyUid"):
            return everyone
        named = dict.fromkeys(
            s for node in found if isinstance(node, etree._Element) for s in subjects_of(node, name)
        )
        return list(named) or everyone

    def _own(self, m: Message, rule: TermRule) -> list[str]:
        """The message that a message's own term is about: itself, or what it sent back."""
        if rule.term.start.event != "returned":
            return [str(m.id)]
        row = self._file.one(
            "SELECT id FROM message WHERE message_id = ? AND case_uid = ?",
            m.in_reply_to,
            m.case_uid,
        )
        return [str(row[0])] if row is not None else []

    @staticmethod
    def _field(
        m: Message, said: Said, path: etree.XPath, rule: TermRule
    ) -> list[tuple[str, datetime]]:
        """(subject, stated moment); the latest for a subject that several concern."""
        found = path(said.root)
        times: dict[str, datetime] = {}
        for node in found if isinstance(found, list) else ():
            if not isinstance(node, etree._Element):
                continue
            at = moment(text_of(node))
            if at is None:
                continue
            name = rule.subject
            named = (
                subjects_of(node, name) or list(m.persons)
                if name in ("PersonUid", "PropertyUid")
                else [str(m.id) if name == "message" else ""]
            )
            for subject in named:
                times[subject] = max(at, times.get(subject, at))
        return list(times.items())

    @staticmethod
    def _actor(m: Message, rules: CaseRules, rule: TermRule) -> str:
        """The unit that must act: a receiver of such a role, else the sender; empty where neither is."""
        wanted = set(rule.term.actor)
        if "any" not in wanted:
            sender_roles = rules.catalogue.roles_by_type(m.sender)
            if rule.term.start.at == "sent" and wanted & sender_roles:
                return m.sender
            for unit, mode in m.recipients:
                if mode == "to" and wanted & rules.catalogue.roles_by_type(unit):
                    return unit
            for unit, _ in m.recipients:
                if wanted & rules.catalogue.roles_by_type(unit):
                    return unit
            return m.sender if wanted & sender_roles else ""
        return m.receiver

    def _delivered(self, m: Message, unit: str) -> tuple[str, str]:
        row = self._file.one(
            "SELECT delivered_at, delivered_known_at FROM recipient WHERE message = ? AND unit = ?",
            m.id, unit if any(u == unit for u, _ in m.recipients) else m.receiver,
        )  # fmt: skip
        return (str(row[0]), str(row[1])) if row is not None else ("", "")

    def delivered(
        self, message: int, unit: str, receiver: str, at: str, known_at: str, rules: CaseRules
    ) -> None:
        """A receiver's gateway delivered: terms that run from receipt begin."""
        rows = self._file.all(
            "SELECT term, scope, subject FROM mark WHERE message = ? AND at = ''"
            " AND (unit = ? OR (? = ? AND unit NOT IN (SELECT unit FROM recipient WHERE message = ?)))",
            message, unit, unit, receiver, message,
        )  # fmt: skip
        for term, scope, subject in rows:
            self._file.run(
                "UPDATE mark SET at = ?, known_at = ? WHERE term = ? AND scope = ? AND subject = ?"
                " AND message = ? AND at = ''",
                at, known_at, term, scope, subject, message,
            )  # fmt: skip
            self._counting.touch((str(term), str(scope), str(subject)), rules)

    # -- stops and changes ------------------------------------------------------------------------

    def _stop(
        self, m: Message, said: Said, rules: CaseRules, ending: Ending, scope: str, closes: bool
    ) -> None:
        rule = ending.term
        if ending.field is not None:
            for subject, at in self._field(m, said, ending.field, rule):
                self._keep(
                    m, rules, rule, scope, subject, STOP, stored(at), m.relayed_at, flow=CASE
                )
            return
        flow_uid = self._corrected(m) if m.flow == rule.term.start.message.partition(".")[0] else ""
        for subject in self._stopped(m, said, ending, scope, closes):
            self._keep(
                m, rules, rule, scope, subject, STOP, m.effective_at, m.relayed_at,
                flow_uid=flow_uid,
            )  # fmt: skip

    def _corrected(self, m: Message) -> str:
        """The instance that a message corrects: a return closed it, and the corrected one is new."""
        row = m.replaces and self._file.one(
            "SELECT flow_uid FROM message WHERE message_id = ? AND case_uid = ?",
            m.replaces,
            m.case_uid,
        )
        return str(row[0]) if row else ""

    def _stopped(
        self, m: Message, said: Said, ending: Ending, scope: str, closes: bool
    ) -> list[str]:
        """Whose timers a message stops: those it names, else all of the case. closes: it ends its
        instance, as a return does; then those count that its body names, not its header alone."""
        rule = ending.term
        if rule.subject == "":
            return [""]
        if rule.subject == "message":
            ident = m.replaces if ending.by == "replaces" else m.in_reply_to
            if not ident:
                return []
            row = self._file.one(
                "SELECT id FROM message WHERE message_id = ? AND case_uid = ?",
                ident,
                m.case_uid,
            )
            return [str(row[0])] if row is not None else []
        named = m.persons if rule.subject == "PersonUid" else said.items
        if closes and not said.persons and not said.items:
            named = ()
        return list(named) or self._running(rule, scope)

    def _running(self, rule: TermRule, scope: str) -> list[str]:
        rows = self._file.all(
            "SELECT DISTINCT subject FROM mark WHERE term = ? AND scope = ? AND kind = 'start'"
            " ORDER BY subject",
            rule.id, scope,
        )  # fmt: skip
        return [str(r[0]) for r in rows]

    def _alter(self, m: Message, said: Said, rules: CaseRules, alters: Alters, scope: str) -> None:
        for rule in alters.terms:
            subjects = self._subjects(m, said, alters.when, rule)
            if subjects is None:
                continue
            dues = self._field(m, said, alters.due, rule) if alters.due is not None else []
            times = self._field(m, said, alters.field, rule) if alters.field is not None else []
            if (alters.due is not None and not dues) or (alters.field is not None and not times):
                continue
            until, at = dict(dues), dict(times)
            reason = _reason(said, alters)
            for subject in (
                list(dict.fromkeys((*until, *at))) or subjects or self._running(rule, scope)
            ):
                self._keep(
                    m, rules, rule, scope, subject, alters.change.value,
                    stored(at[subject]) if subject in at else m.effective_at, m.relayed_at,
                    due=stored(until[subject]) if subject in until else "", reason=reason,
                )  # fmt: skip

    def _stated(self, m: Message, said: Said, rules: CaseRules, scope: str) -> None:
        """`DeadlineInfo` of any message: the rule it names is changed as it says."""
        stated = {x.name: x.value for x in said.leaves if x.group == "DeadlineInfo"}
        codes = {"2": "extend", "3": "pause", "4": "resume", "5": "restart", "6": "stop"}
        change = stated.get("Change", "")
        change = codes.get(change, change)
        if change not in (*codes.values(),):
            return
        for rule in rules.of_rule(stated.get("RuleId", "")):
            named = [x.person for x in said.leaves if x.group == "DeadlineInfo" and x.person]
            subjects = list(dict.fromkeys(named)) if rule.subject == "PersonUid" else []
            for subject in subjects or self._running(rule, scope):
                due_at = moment(stated.get("DueAt", ""))
                self._keep(
                    m, rules, rule, scope, subject, change, m.effective_at, m.relayed_at,
                    due=stored(due_at) if due_at is not None else "",
                    reason=stated.get("ChangeDocNo", "")[:64],
                )  # fmt: skip

    def _by_person(self, m: Message, rules: CaseRules, scope: str, uid: str) -> None:
        """Where the message tells a state of custody, terms that depend on it are counted again."""
        if not self._file.one(
            "SELECT 1 FROM custody WHERE person_uid = ? AND at = ? AND message = ?",
            uid,
            m.effective_at,
            m.id,
        ):
            return
        for (term,) in self._file.all(
            "SELECT DISTINCT term FROM mark WHERE scope = ? AND subject = ? AND kind = 'start'",
            scope,
            uid,
        ):
            rule = rules.terms.get(str(term))
            if rule is not None and (
                rule.term.custody is Custody.BY_PERSON or rule.term.only_status
            ):
                self._counting.touch((str(term), scope, uid), rules)

    def _keep(
        self, m: Message, rules: CaseRules, rule: TermRule, scope: str, subject: str, kind: str,
        at: str, known_at: str, unit: str = "", due: str = "", flow: str = "", flow_uid: str = "",
        reason: str = "",
    ) -> None:  # fmt: skip
        reason = (reason or f"message-type:{m.type}") if kind == PAUSE else ""
        self._file.run(
            "INSERT OR IGNORE INTO mark VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            rule.id, scope, subject, m.id, kind, at, known_at, unit,
            f"{flow or m.flow} {flow_uid or m.flow_uid}", due, m.effective_at, reason,
        )  # fmt: skip
        if at:
            self._counting.touch((rule.id, scope, subject), rules)

    # -- counting ---------------------------------------------------------------------------------

    def settle(self) -> None:
        """Count anew whatever was touched since the last time."""
        self._counting.settle()

    def forget(self, scope: str) -> None:
        """All marks and timers of a case go; its messages are about to be folded again."""
        self._counting.forget(scope)


def _after(stated: datetime, rule: TermRule, rules: CaseRules) -> datetime:
    """The stated moment, or the last day of the term that must be over first."""
    days = rule.term.start.after_days
    if not days:
        return stated
    over = due(stated, Limit(days, Unit.DAY), rules.catalogue.calendar, custody=rule.term.custody)
    return over - timedelta(days=1)


def _is_near_enough(m: Message, said: Said, rules: CaseRules, opening: Opening) -> bool:
    """Whether the ends of custody that the message states are as the opening wants them."""
    days = opening.near or opening.far
    if not days:
        return True
    until = datetime.fromisoformat(m.effective_at) + timedelta(days=days)
    ends = [moment(x.value) for x in said.leaves if x.name in rules.due_fields]
    return any(e is not None and e <= until for e in ends) == bool(opening.near)


def _reason(said: Said, alters: Alters) -> str:
    """Why a message says that it changes a term; empty where it does not."""
    found = alters.reason(said.root) if alters.reason is not None else ()
    node = found[0] if isinstance(found, list) and found else None
    text = text_of(node) if isinstance(node, etree._Element) else ""
    return f"{alters.codes}:{text[:40]}" if text and alters.codes else text[:64]


def _valid(rule: TermRule, at: str) -> bool:
    day = datetime.fromisoformat(at).astimezone(LEGAL_TIME).date()
    return rule.rule.valid_from <= day and (rule.rule.valid_to is None or day <= rule.rule.valid_to)
