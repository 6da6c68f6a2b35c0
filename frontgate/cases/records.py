"""What reading cases gives: records of rows, and the columns they are read from.

Offers: `Case`, `Person`, `Party`, `Node`, `Deadline`, `Timeline` and their parts; `case`, `person` and
`deadline` make one of a row in the order of `CASE`, `PERSON` and `counting.DEADLINE`.
"""

from __future__ import annotations

import json
from typing import Any

from frontgate.values import Struct, field


class Case(Struct, frozen=True):
    """A case as it stands. owner: the unit its CaseUid is bound to; is_bound: whether that unit was
    heard of. stage: code of `case-stage`; crime: code of `crime`. Times are RFC 3339 UTC."""

    case_uid: str
    owner: str
    is_bound: bool
    division: str
    opened_at: str
    last_at: str
    messages: int
    persons: int
    name: str
    crime: str
    stage: str
    stage_at: str
    police_no: str
    procuratorate_no: str
    court_no: str
    handling_unit: str
    filed_on: str
    conf: str
    is_joint: bool
    is_juvenile: bool


class Person(Struct, frozen=True):
    """A person of a case. custody: code of `custody-status`; custody_due: last day, `YYYY-MM-DD`."""

    person_uid: str
    case_uid: str
    name: str
    role: str
    id_type: str
    id_no: str
    sex: str
    birth: str
    is_minor: bool
    crime: str
    stage: str
    custody: str
    custody_at: str
    custody_due: str
    detention_unit: str
    measure: str


class Party(Struct, frozen=True):
    """A unit that takes part. how: owner, opener, receiver, copy, jurisdiction, confirmed."""

    unit: str
    how: str
    since: str


class Received(Struct, frozen=True):
    """One recipient's side of a message. mode: to or cc. Empty times did not come yet."""

    unit: str
    mode: str
    delivered_at: str
    delivered_known_at: str
    handed_at: str
    failed_at: str
    failed_kind: str
    delayed_at: str


class Document(Struct, frozen=True):
    """One `Documents/Document` of a message. digest: SHA-256, in hex. size_bytes: 0 where not stated."""

    doc_uid: str
    type: str
    title: str
    carrier: str
    digest: str
    size_bytes: int


class Outcome(Struct, frozen=True):
    """A decision or result. list: the code list of `code`; empty where it is a plain truth."""

    person_uid: str
    flow: str
    step: str
    field: str
    list: str
    code: str
    doc_no: str
    decided_on: str
    decided_by: str
    reason: str
    at: str


class Node(Struct, frozen=True):
    """A step of the course: one message. effective_at: its own time; relayed_at: the hub's.

    is_outside: of a unit that nothing brought into the case. is_sequence: it came before what it
    should follow. original: MessageId of what this is an extract of.
    """

    id: int
    message_id: str
    type: str
    flow: str
    step: str
    flow_uid: str
    in_reply_to: str
    replaces: str
    sender: str
    effective_at: str
    sent_at: str
    relayed_at: str
    digest: str
    original: str
    is_outside: bool
    is_sequence: bool
    flags: list[dict[str, str]]
    receivers: list[Received] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    persons: list[str] = field(default_factory=list)


class Deadline(Struct, frozen=True):
    """A term. state: open, paused, met, met-late, cancelled; and, as of `now`, due-soon and overdue.

    due_at: the first instant that is too late; safe_due_at: a day earlier for custody terms.
    start_known_at, stop_known_at: when the hub knew. changes: [kind, at, known at, message, stated due].
    paused_at, pause_reason: of the pause that nothing has ended; the reason is `list:code` or a text.
    """

    id: str
    rule: str
    part: str
    case_uid: str
    subject: str
    flow: str
    flow_uid: str
    unit: str
    start_message: int
    start_at: str
    start_known_at: str
    due_at: str
    safe_due_at: str
    yellow_at: str
    red_at: str
    state: str
    stop_message: int
    stop_at: str
    stop_known_at: str
    changes: list[list[Any]]
    in_custody: bool
    is_custody: bool
    is_estimated: bool
    is_beyond: bool
    is_lapsing: bool
    paused_at: str
    pause_reason: str

    def level(self, now: str) -> str:
        """`overdue` (or `lapsed`), `red`, `yellow`, or empty; of an open term at a stored time."""
        if self.state != "open":
            return ""
        if now >= self.due_at:
            return "lapsed" if self.is_lapsing else "overdue"
        if now >= self.red_at:
            return "red"
        return "yellow" if now >= self.yellow_at else ""


class Act(Struct, frozen=True):
    """What a person did about a deadline or a case: explain, dispute, close, confirm, admit."""

    seq: int
    at: str
    act: str
    item: str
    case_uid: str
    unit: str
    actor: str
    code: str
    text: str


class Link(Struct, frozen=True):
    """Another case that belongs to this one. kind: same-person, split, merge, persons-moved, replaces,
    shared-flow."""

    other_uid: str
    kind: str
    persons: list[str]
    at: str


class Alarm(Struct, frozen=True):
    """kind: case-clash, person-clash, outside, moved."""

    case_uid: str
    kind: str
    unit: str
    message: int
    at: str
    detail: str


class Instance(Struct, frozen=True):
    """One flow of the case. goes_on: flows of this case that went on where this one ended."""

    flow: str
    flow_uid: str
    opener: str
    receiver: str
    opened_at: str
    last_step: str
    last_at: str
    returns: int
    is_closed: bool
    goes_on: list[str] = field(default_factory=list)


class Timeline(Struct, frozen=True):
    """All of a case, in order of time; of its messages as many as were asked for.

    first: how many messages come before `nodes`; total: how many there are. left_off: by the name of a
    list here, how many of its rows come after those that stand in it; lists that are whole are not named.
    """

    case: Case
    persons: list[Person]
    parties: list[Party]
    nodes: list[Node]
    instances: list[Instance]
    deadlines: list[Deadline]
    acts: list[Act]
    links: list[Link]
    alarms: list[Alarm]
    first: int
    total: int
    left_off: dict[str, int]

    @property
    def after(self) -> int:
        """How many messages come before those that follow `nodes`; 0 where none do."""
        end = self.first + len(self.nodes)
        return end if end < self.total else 0


NODE = (
    "id, message_id, type, flow, step, flow_uid, in_reply_to, replaces, sender, effective_at, sent_at,"
    " relayed_at, digest, original, is_outside, is_sequence, flags"
)
CASE = (
    "case_uid, owner, is_bound, division, opened_at, last_at, messages, persons, name, crime, stage,"
    " stage_at, police_no, procuratorate_no, court_no, handling_unit, filed_on, conf, is_joint, is_juvenile"
)
PERSON = (
    "person_uid, case_uid, name, role, id_type, id_no, sex, birth, is_minor, crime, stage, custody,"
    " custody_at, custody_due, detention_unit, measure"
)


def case(r: tuple[Any, ...]) -> Case:
    values: tuple[Any, ...] = (*r[:2], bool(r[2]), *r[3:18], bool(r[18]), bool(r[19]))
    return Case(*values)


def person(r: tuple[Any, ...]) -> Person:
    values: tuple[Any, ...] = (*r[:8], bool(r[8]), *r[9:])
    return Person(*values)


def deadline(r: tuple[Any, ...]) -> Deadline:
    """A row of `DEADLINE`."""
    values: tuple[Any, ...] = (*r[:19], json.loads(r[19]), *(bool(v) for v in r[20:25]), *r[25:])
    return Deadline(*values)
