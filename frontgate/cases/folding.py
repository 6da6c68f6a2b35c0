"""One message folded into its case: binding, parties, persons, outcomes, instances, links.

Offers: `Fold`. Guarantees: what comes out depends on the case's messages in their order, on the units
that a party admitted, and on nothing else; a message of a unit that nobody brought in says nothing
to the case. A CaseUid is bound to the unit whose code it carries; whoever used it before that unit
did is outside until a party admits it (contract, section 9).
"""

from __future__ import annotations

from collections.abc import Callable

from frontgate.cases.reading import Leaf, Said
from frontgate.cases.rules import CaseRules, Plan
from frontgate.journal.files import File
from frontgate.values import Struct

RETURN, ACCEPT = "return", "accept"
"""Step words of the standard: domain, flows.md 2.1."""


class Message(Struct, frozen=True):
    """A message as the projections have it. persons: of header and body."""

    id: int
    relayed_at: str
    effective_at: str
    sender: str
    message_id: str
    type: str
    flow: str
    step: str
    flow_uid: str
    in_reply_to: str
    replaces: str
    case_uid: str
    stage: str
    conf: str
    recipients: tuple[tuple[str, str], ...]
    persons: tuple[str, ...]
    said: Said | None

    @property
    def receiver(self) -> str:
        return self.recipients[0][0] if self.recipients else ""


def embedded(case_uid: str) -> str:
    """The first ten characters of the unit code in a CaseUid."""
    return case_uid[5:15]


class Fold:
    """Folds messages into one projection file."""

    def __init__(self, file: File, refold: Callable[[str], None]) -> None:
        self._file = file
        self._refold = refold

    def take(self, m: Message, rules: CaseRules, plan: Plan) -> bool:
        """Fold a message. Returns: whether it counts for its case (not outside)."""
        if not m.case_uid:
            self._instance(m, plan)
            return True
        if is_hub(m.sender, rules):
            self._instance(m, plan)
            return False  # the hub tells of a case, and adds nothing to it
        case = self._file.one(
            "SELECT owner, is_bound, division FROM casefile WHERE case_uid = ?", m.case_uid
        )
        is_owner = m.sender[:10] == embedded(m.case_uid)
        if case is not None and is_owner and not case[1] and not self._goes_on(m):
            self._file.run("INSERT OR IGNORE INTO bound VALUES (?)", m.case_uid)
            self._refold(m.case_uid)
            return True
        if not self._is_inside(m, rules, plan, case, is_owner):
            return False
        for unit, mode in m.recipients:
            self._party(m, unit, "copy" if mode == "cc" else "receiver")
        self._case(m, plan)
        if m.said is not None:
            self._persons(m, m.said, rules, plan)
            self._outcomes(m, m.said, rules)
            self._things(m, m.said)
            self._moved(m, m.said, plan)
        self._links(m)
        self._instance(m, plan)
        return True

    # -- who belongs to the case ------------------------------------------------------------------

    def _goes_on(self, m: Message) -> bool:
        """Whether the message goes on in an instance of this case that was there before."""
        return (
            self._file.one(
                "SELECT 1 FROM instance WHERE flow = ? AND flow_uid = ? AND case_uid = ?",
                m.flow, m.flow_uid, m.case_uid,
            )
            is not None
        )  # fmt: skip

    def _is_inside(
        self,
        m: Message,
        rules: CaseRules,
        plan: Plan,
        case: tuple[object, ...] | None,
        is_owner: bool,
    ) -> bool:
        bound = self._file.one("SELECT 1 FROM bound WHERE case_uid = ?", m.case_uid) is not None
        if case is None:
            how = "owner" if is_owner else "opener"
            self._open(m, is_owner or bound, m.sender if is_owner or not bound else "")
            if bound and not is_owner and not self._is_admitted(m):
                return self._outside(m, plan)
            self._party(m, m.sender, how)
            return True
        if is_owner:
            self._file.run(
                "UPDATE casefile SET owner = ?, is_bound = 1 WHERE case_uid = ?",
                m.sender,
                m.case_uid,
            )
            self._party(m, m.sender, "owner")
            return True
        known = self._file.one(
            "SELECT 1 FROM party WHERE case_uid = ? AND unit = ?", m.case_uid, m.sender
        )
        if known is not None:
            return True
        if self._is_admitted(m):
            self._party(m, m.sender, "confirmed")
            return True
        if rules.joins & rules.catalogue.roles_by_type(m.sender) and _reaches(
            m.sender[:6], str(case[2])
        ):
            self._party(m, m.sender, "jurisdiction")
            return True
        return self._outside(m, plan)

    def _is_admitted(self, m: Message) -> bool:
        return (
            self._file.one(
                "SELECT 1 FROM act WHERE item = ? AND act = 'admit' AND code = ?",
                m.case_uid,
                m.sender,
            )
            is not None
        )

    def _outside(self, m: Message, plan: Plan) -> bool:
        opens = plan.step is not None and plan.step.opens
        self._file.run("UPDATE message SET is_outside = 1 WHERE id = ?", m.id)
        self._alarm(m, "case-clash" if opens else "outside", m.sender, m.type)
        return False

    def _party(self, m: Message, unit: str, how: str) -> None:
        self._file.run(
            "INSERT OR IGNORE INTO party VALUES (?, ?, ?, ?, ?)",
            m.case_uid, unit, how, m.relayed_at, m.id,
        )  # fmt: skip

    def _alarm(self, m: Message, kind: str, unit: str, detail: str) -> None:
        self._file.run(
            "INSERT OR IGNORE INTO alarm VALUES (?, ?, ?, ?, ?, ?)",
            m.case_uid, kind, unit, m.id, m.relayed_at, detail[:300],
        )  # fmt: skip

    # -- the case ---------------------------------------------------------------------------------

    def _open(self, m: Message, is_bound: bool, owner: str) -> None:
        self._file.run(
            "INSERT INTO casefile (case_uid, owner, is_bound, division, opened_at, last_at, messages)"
            " VALUES (?, ?, ?, ?, ?, ?, 0)",
            m.case_uid, owner, int(is_bound), m.case_uid[5:11], m.effective_at, m.relayed_at,
        )  # fmt: skip

    def _case(self, m: Message, plan: Plan) -> None:
        stated = m.said.case if m.said is not None else {}
        stage = plan.step.stage if plan.step is not None else ""
        self._file.run(
            "UPDATE casefile SET messages = messages + 1, last_at = max(last_at, ?),"
            " opened_at = min(opened_at, ?),"
            " name = coalesce(nullif(?, ''), name), crime = coalesce(nullif(?, ''), crime),"
            " police_no = coalesce(nullif(?, ''), police_no),"
            " procuratorate_no = coalesce(nullif(?, ''), procuratorate_no),"
            " court_no = coalesce(nullif(?, ''), court_no),"
            " handling_unit = coalesce(nullif(?, ''), handling_unit),"
            " filed_on = coalesce(nullif(?, ''), filed_on), conf = max(conf, ?),"
            " is_joint = max(is_joint, ?), is_juvenile = max(is_juvenile, ?) WHERE case_uid = ?",
            m.relayed_at, m.effective_at,
            stated.get("CaseName", ""), stated.get("MainCrime", ""), stated.get("PoliceCaseNo", ""),
            stated.get("ProcuratorateCaseNo", ""),
            stated.get("CourtCaseNo", "") or _first(m.said, "CourtCaseNo"),
            stated.get("HandlingUnit", ""), stated.get("FiledOn", ""), m.conf,
            _truth(stated.get("IsJointCrime", "")), _truth(stated.get("IsJuvenileCase", "")), m.case_uid,
        )  # fmt: skip
        if stage:
            self._file.run(
                "UPDATE casefile SET stage = ?, stage_at = ? WHERE case_uid = ? AND stage_at <= ?",
                stage, m.effective_at, m.case_uid, m.effective_at,
            )  # fmt: skip

    def _moved(self, m: Message, said: Said, plan: Plan) -> None:
        for name, codes in plan.moved:
            if said.has(name, codes):
                self._alarm(m, "moved", m.receiver, m.type)

    # -- persons ----------------------------------------------------------------------------------

    def _persons(self, m: Message, said: Said, rules: CaseRules, plan: Plan) -> None:
        """A PersonUid carries its CaseUid: those of other cases are links, never changed from here."""
        own = [p for p in m.persons if p.startswith(m.case_uid + "-P")]
        for uid in own:
            made = self._file.run(
                "INSERT OR IGNORE INTO person (person_uid, case_uid) VALUES (?, ?)", uid, m.case_uid
            )
            if made:
                self._file.run(
                    "UPDATE casefile SET persons = persons + 1 WHERE case_uid = ?", m.case_uid
                )
            self._file.run("INSERT OR IGNORE INTO concerns VALUES (?, ?)", uid, m.id)
            self._identity(m, uid, said.values(uid, "Person"))
            self._held(m, uid, said, rules)
        stage = plan.step.stage if plan.step is not None else ""
        for uid in own if stage else ():
            self._person_stage(m, uid, stage)
        for status in plan.statuses:
            leaves = said.has(status.name, status.codes) if status.name else []
            named = dict.fromkeys(x.person for x in leaves) if status.name else dict.fromkeys(own)
            # A field that belongs to nobody in particular speaks of all whom the message names.
            subjects = own if "" in named else [p for p in named if p in own]
            for uid in subjects:
                if status.custody:
                    self._custody(m, uid, status.custody)
                if status.stage:
                    self._person_stage(m, uid, status.stage)
            if status.stage and subjects and set(subjects) == set(own):
                self._file.run(
                    "UPDATE casefile SET stage = ?, stage_at = ? WHERE case_uid = ? AND stage_at <= ?",
                    status.stage, m.effective_at, m.case_uid, m.effective_at,
                )  # fmt: skip

    def _identity(self, m: Message, uid: str, stated: dict[str, str]) -> None:
        if not stated:
            return
        known = self._file.one("SELECT name, id_no FROM person WHERE person_uid = ?", uid)
        assert known is not None
        number = stated.get("IdNo", "")
        if known[1] and number and known[1] != number:
            self._alarm(m, "person-clash", m.sender, uid)
            return
        self._file.run(
            "UPDATE person SET name = coalesce(nullif(?, ''), name), role = coalesce(nullif(?, ''), role),"
            " id_type = coalesce(nullif(?, ''), id_type), id_no = coalesce(nullif(?, ''), id_no),"
            " sex = coalesce(nullif(?, ''), sex), birth = coalesce(nullif(?, ''), birth),"
            " is_minor = max(is_minor, ?) WHERE person_uid = ?",
            stated.get("Name", ""), stated.get("Role", ""), stated.get("IdType", ""), number,
            stated.get("Sex", ""), stated.get("BirthDate", ""), _truth(stated.get("IsMinor", "")), uid,
        )  # fmt: skip
        if number and not known[1]:
            for (other,) in self._file.all(
                "SELECT DISTINCT case_uid FROM (SELECT case_uid FROM person WHERE id_no = ?"
                " AND case_uid <> ? ORDER BY person_uid LIMIT 20) ORDER BY case_uid",
                number, m.case_uid,
            ):  # fmt: skip
                self._link(m, str(other), "same-person", uid)

    def _held(self, m: Message, uid: str, said: Said, rules: CaseRules) -> None:
        """Measure, custody, charge: what the message says of this person."""
        for leaf in said.of_person(uid):
            if not leaf.value:
                continue
            if leaf.name == "CustodyStatus":
                self._custody(m, uid, leaf.value)
            elif leaf.name in rules.due_fields:
                self._newest(m, uid, "custody_due", leaf.value[:10], "custody_due_at")
            elif leaf.name == "DetentionUnit":
                self._newest(m, uid, "detention_unit", leaf.value, "measure_at")
            elif leaf.name == "MeasureKind":
                self._newest(m, uid, "measure", leaf.value, "measure_at")
            elif leaf.name == "CrimeCode":
                self._file.run("UPDATE person SET crime = ? WHERE person_uid = ?", leaf.value, uid)

    def _newest(self, m: Message, uid: str, column: str, value: str, mark: str) -> None:
        """Set a column unless a message that holds later did. mark: the column that says when."""
        self._file.run(
            f"UPDATE person SET {column} = ?, {mark} = ?"  # noqa: S608 (names from this file)
            f" WHERE person_uid = ? AND {mark} <= ?",
            value, m.effective_at, uid, m.effective_at,
        )  # fmt: skip

    def _custody(self, m: Message, uid: str, status: str) -> None:
        self._file.run(
            "INSERT OR REPLACE INTO custody VALUES (?, ?, ?, ?, ?, ?)",
            uid, m.effective_at, m.id, m.relayed_at, m.case_uid, status,
        )  # fmt: skip
        self._file.run(
            "UPDATE person SET custody = ?, custody_at = ? WHERE person_uid = ? AND custody_at <= ?",
            status, m.effective_at, uid, m.effective_at,
        )  # fmt: skip

    def _person_stage(self, m: Message, uid: str, stage: str) -> None:
        self._file.run(
            "UPDATE person SET stage = ?, stage_at = ? WHERE person_uid = ? AND stage_at <= ?",
            stage, m.effective_at, uid, m.effective_at,
        )  # fmt: skip

    # -- outcomes, things, links, instances -------------------------------------------------------

    def _outcomes(self, m: Message, said: Said, rules: CaseRules) -> None:
        rows = []
        for number, leaf in enumerate(said.leaves):
            codes = rules.outcome_list(m.flow, leaf.name)
            if codes is None or not leaf.value:
                continue
            decision = said.values(leaf.person, "Decision")
            rows.append(
                (m.id, number, m.case_uid, leaf.person, m.flow, m.step, leaf.name, codes,
                 leaf.value[:40], decision.get("DocNo", ""), decision.get("DecidedOn", ""),
                 decision.get("DecidedBy", ""), decision.get("Reason", ""), m.effective_at)
            )  # fmt: skip
        if rows:
            self._file.many(
                "INSERT OR REPLACE INTO outcome VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", rows
            )

    def _things(self, m: Message, said: Said) -> None:
        names = {
            "Name": "name", "Category": "category", "Custodian": "custodian", "Action": "action",
            "PropertyAction": "action", "DisposalResult": "disposal", "Disposal": "disposal",
        }  # fmt: skip
        for uid in said.items:
            self._file.run(
                "INSERT OR IGNORE INTO property (property_uid, case_uid, at, message) VALUES (?, ?, ?, ?)",
                uid, m.case_uid, m.effective_at, m.id,
            )  # fmt: skip
        for leaf in said.leaves:
            column = names.get(leaf.name)
            if column and leaf.item and leaf.value:
                self._file.run(
                    f"UPDATE property SET {column} = ? WHERE case_uid = ? AND property_uid = ?",  # noqa: S608
                    leaf.value[:200], m.case_uid, leaf.item,
                )  # fmt: skip

    def _links(self, m: Message) -> None:
        for uid in m.persons:
            other = uid.rpartition("-P")[0]
            if other and other != m.case_uid:
                self._link(m, other, "persons-moved", uid)
        for ident, kind in ((m.replaces, "replaces"), (m.in_reply_to, "shared-flow")):
            if not ident:
                continue
            for (other,) in self._file.all(
                "SELECT DISTINCT case_uid FROM message WHERE message_id = ? AND case_uid <> ''"
                " AND case_uid <> ? ORDER BY case_uid LIMIT 20",
                ident, m.case_uid,
            ):  # fmt: skip
                self._link(m, str(other), kind, "")

    def _link(self, m: Message, other: str, kind: str, uid: str) -> None:
        self._file.run(
            "INSERT OR IGNORE INTO link VALUES (?, ?, ?, ?, ?, ?)",
            m.case_uid, other, kind, uid, m.id, m.effective_at,
        )  # fmt: skip

    def _instance(self, m: Message, plan: Plan) -> None:
        if not m.flow_uid:
            return
        self._file.run(
            "INSERT INTO instance (flow, flow_uid, case_uid, opener, receiver, opened_at,"
            " opened_message, last_step, last_at, returns, is_closed) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
            " ON CONFLICT (flow, flow_uid) DO UPDATE SET returns = returns + excluded.returns,"
            " is_closed = max(is_closed, excluded.is_closed),"
            " last_step = CASE WHEN excluded.last_at >= last_at THEN excluded.last_step ELSE last_step END,"
            " last_at = max(last_at, excluded.last_at) WHERE case_uid = excluded.case_uid",
            m.flow, m.flow_uid, m.case_uid, m.sender, m.receiver, m.effective_at, m.id, m.step,
            m.effective_at, int(m.step == RETURN), int(plan.is_terminal),
        )  # fmt: skip


def is_hub(unit: str, rules: CaseRules) -> bool:
    return "hub" in rules.catalogue.roles_by_type(unit)


def _reaches(own: str, other: str) -> bool:
    """Whether a division is another's, or above it: 520100 reaches 520102."""
    own = own.removesuffix("00").removesuffix("00") if own.endswith("00") else own
    return other.startswith(own)


def _truth(text: str) -> int:
    return int(text in ("true", "1"))


def _first(said: Said | None, name: str) -> str:
    found: Leaf | None = next(said.of(name), None) if said is not None else None
    return found.value if found is not None else ""
