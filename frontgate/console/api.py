"""The API: read-only JSON of the same data, for a unit's programs, by token.

`CALLS` is the one table of it: route, parameters, what comes back. The OpenAPI document is made from
that table, so it cannot tell of a call that is not there. Lists are paged by `next`, an opaque word.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from frontgate import __version__, clock
from frontgate.cases.parts import PARTS
from frontgate.cases.records import Case, Deadline
from frontgate.console.access import Right, sees_transfer
from frontgate.console.pages import cases, deadlines, failures, questions, statistics, units
from frontgate.console.picture import state_of
from frontgate.console.web import Answer, Data, Endpoint, Visit
from frontgate.core.identifiers import is_person_uid, is_unit_code
from frontgate.errors import CaseError, ConsoleError
from frontgate.journal import timestamp, traffic, views
from frontgate.values import Struct, asdict

ROOT = "/api/v1"
LIMIT = 50
COURSE = 500
"""Messages of a course in one answer."""
Json = dict[str, Any]


class Call(Struct, frozen=True):
    """One call. query: name → (description, JSON schema). gives: JSON schema of a good answer."""

    path: str
    serve: Callable[[Visit], Answer]
    right: Right
    zh: str
    en: str
    gives: Json
    query: Mapping[str, tuple[str, Json]]


TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer", "minimum": 0}
TRUTH: Json = {"type": "boolean"}


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(name: str, items: Json) -> Json:
    return _object(**{name: {"type": "array", "items": items}, "next": TEXT})


def _schema(kind: type) -> Json:
    """The schema of a class of plain values."""
    kinds = {"str": TEXT, "int": {"type": "integer"}, "bool": TRUTH}
    return _object(**{n: kinds.get(str(t), {}) for n, t in kind.__annotations__.items()})


def pack(*key: object) -> str:
    """A key of paging as one opaque word."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def unpack(word: str, kinds: Sequence[type]) -> tuple[Any, ...] | None:
    """The key again, None for an empty word. Raises: ConsoleError FG-CON-010 for a word that no page
    gave."""
    if not word:
        return None
    try:
        padded = word + "=" * (-len(word) % 4)
        values = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
    except (ValueError, RecursionError):
        raise ConsoleError("FG-CON-010", value="next") from None
    fits = isinstance(values, list) and len(values) == len(kinds)
    if not fits or not all(type(v) is k for v, k in zip(values, kinds, strict=True)):
        raise ConsoleError("FG-CON-010", value="next")
    if any(isinstance(v, int) and not 0 <= v < 1 << 62 for v in values):
        raise ConsoleError("FG-CON-010", value="next")
    # What JSON can say and a database, or a later page, cannot hold.
    if any(isinstance(v, str) and not (len(v) <= 100 and v.isprintable()) for v in values):
        raise ConsoleError("FG-CON-010", value="next")
    return tuple(values)


def list_cases(visit: Visit) -> Answer:
    key = unpack(visit.word("next"), (str, str))
    query = {k: v for k, v in visit.query.items() if k in ("q", "stage", "since", "until")}
    asked = replace(visit, query=query | ({"last": key[0], "uid": key[1]} if key else {}))
    rows, onward = cases.find(asked)
    visit.look("look-cases", **{k: v[:100] for k, v in query.items()}, hits=str(len(rows)))
    return Data({"cases": [asdict(c) for c in rows], "next": pack(*onward) if onward else ""})


def one_case(visit: Visit) -> Answer:
    case_uid = visit.path["case"]
    found, onward = _course(visit, case_uid)
    visit.look("look-case", case=case_uid)
    return Data({**found, "next": onward})


def _course(visit: Visit, case_uid: str, person: str = "") -> tuple[Json, str]:
    """A part of a course, and where the next begins."""
    key = unpack(visit.word("next"), (int,))
    first = key[0] if key else 0
    found = cases.timeline_of(visit, case_uid, person, first=first, limit=COURSE)
    return asdict(found), pack(found.after) if found.after else ""


def one_person(visit: Visit) -> Answer:
    person_uid = visit.path["person"]
    found = visit.desk.cases().person(person_uid) if is_person_uid(person_uid) else None
    if found is None:
        raise ConsoleError("FG-CON-010", value=person_uid[:40])
    cases.theirs(visit, found.case_uid, person_uid)
    timeline, onward = _course(visit, found.case_uid, person_uid)
    visit.look("look-person", person=person_uid, case=found.case_uid)
    return Data({"person": asdict(found), "timeline": timeline, "next": onward})


def case_list(visit: Visit) -> Answer:
    """One list of a case: what a course leaves off of it (`left_off`) is here."""
    case_uid, name = visit.path["case"], visit.path["list"]
    key = unpack(visit.word("next"), (int,))
    first = key[0] if key else 0
    rows, total = cases.part_of(visit, case_uid, name, first=first, limit=COURSE)
    visit.look("look-case", case=case_uid, list=name)
    after = first + len(rows)
    onward = pack(after) if rows and after < total else ""
    return Data({"rows": [asdict(r) for r in rows], "total": total, "next": onward})


def case_receipts(visit: Visit) -> Answer:
    case_uid = visit.path["case"]
    cases.theirs(visit, case_uid)
    node = cases.node_of(visit.desk, case_uid, visit.path["message"])
    visit.look("look-case", case=case_uid, receipts=node.message_id)
    found = views.receipts_of(visit.desk.journal(), node.message_id, node.sender)
    return Data({"receipts": found})


def list_deadlines(visit: Visit) -> Answer:
    kind = visit.word("kind") or "all"
    if kind not in deadlines.KINDS:
        raise ConsoleError("FG-CON-015", what="kind")
    key = unpack(visit.word("next"), (str, str))
    asked = replace(visit, query={"due": key[0], "id": key[1]} if key else {})
    rows = deadlines.due(asked, kind)
    now = timestamp(clock.now())
    visit.look("look-deadlines", kind=kind, hits=str(len(rows)))
    onward = pack(*deadlines.key_of(rows[-1], kind)) if len(rows) == deadlines.ROWS else ""
    return Data({"deadlines": [_deadline(d, now) for d in rows], "next": onward})


def _deadline(d: Deadline, now: str) -> Json:
    return {**asdict(d), "shown_state": state_of(d, now)}


def list_questions(visit: Visit) -> Answer:
    found, unit = questions.questions_of(visit), cases.own_unit(visit.person)
    now = clock.now()
    rows = [
        {"name": q.name, "zh": q.zh, "en": q.en, "count": found.count(q.name, now, unit=unit)}
        for q in found.all
    ]
    return Data({"questions": rows, "next": ""})


def one_question(visit: Visit) -> Answer:
    found, name = questions.questions_of(visit), visit.path["question"]
    key = unpack(visit.word("next"), (int,))
    offset = min(key[0], 100_000) if key else 0
    unit = cases.own_unit(visit.person)
    try:
        rows = found.rows(name, clock.now(), unit=unit, offset=offset, limit=LIMIT + 1)
    except CaseError:
        raise ConsoleError("FG-CON-010", value=name[:40]) from None
    visit.look("look-question", question=name, hits=str(len(rows)))
    onward = pack(offset + LIMIT) if len(rows) > LIMIT else ""
    return Data({"rows": rows[:LIMIT], "next": onward})


def list_troubled(visit: Visit) -> Answer:
    key = unpack(visit.word("next"), (int,))
    rows = traffic.troubled(
        visit.desk.journal(),
        visit.person.units,
        before=key[0] if key else traffic.NEWEST,
        limit=LIMIT,
    )
    onward = pack(rows[-1].id) if len(rows) == LIMIT else ""
    return Data({"transfers": [asdict(r) for r in rows], "next": onward})


def one_transfer(visit: Visit) -> Answer:
    found = failures.transfer_of(visit)
    visit.look("look-transfer", transfer=str(found.id), message=found.message_id)
    return Data(asdict(found))


def message_transfers(visit: Visit) -> Answer:
    key, message = unpack(visit.word("next"), (int,)), visit.path["message"]
    after = key[0] if key else 0
    theirs: list[traffic.Traffic] = []
    while not theirs and after >= 0:  # a page of others' alone is not theirs to be told of
        rows, onward = traffic.of_message(visit.desk.journal(), message, after=after)
        theirs = [r for r in rows if sees_transfer(visit.person, r.sender, r.ends)]
        after = onward or -1
    if not theirs and key is None:
        raise ConsoleError("FG-CON-010", value=message[:40])
    visit.look("look-transfer", message=message[:40])
    more = pack(after) if after > 0 else ""
    return Data({"transfers": [asdict(r) for r in theirs], "next": more})


def one_unit(visit: Visit) -> Answer:
    unit = units.unit_of(visit)
    state = units.states(visit, [unit])[0]
    return Data(
        {
            "code": unit.code,
            "name_zh": unit.name_zh,
            "name_en": unit.name_en,
            "status": unit.status,
            "health": state.health,
            "seen_at": state.seen_at,
            "waiting": state.waiting,
            "facts": state.facts,
        }
    )


def one_table(visit: Visit) -> Answer:
    name = visit.path["table"]
    if name not in statistics.TABLES:
        raise ConsoleError("FG-CON-014")
    rows = statistics.TABLES[name](visit)
    visit.look("look-statistics", table=name)
    return Data({"rows": rows, "next": ""})


_NEXT = {
    "next": (
        "what the page before gave as `next`",
        {"type": "string", "maxLength": 200, "pattern": "^[A-Za-z0-9_-]*$"},
    )
}
_SPAN = {
    n: (
        f"{w} month, YYYY-MM, included",
        {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"},
    )
    for n, w in (("since", "first"), ("until", "last"))
}
_DAYS = {
    n: (f"{w} legal day of the last step", {"type": "string", "format": "date"})
    for n, w in (("since", "first"), ("until", "last"))
}
_ANY: Json = {"type": "object"}
CALLS = (
    Call(
        "/cases",
        list_cases,
        Right.CASES,
        "案件查询",
        "Cases that the unit takes part in, newest first",
        _list("cases", _schema(Case)),
        {
            "q": (
                "CaseUid, number, identity number, beginning of a name",
                {"type": "string", "maxLength": 80, "pattern": r"^[\w .()（）〔〕-]*$"},
            ),
            "stage": ("code of case-stage", {"type": "string", "maxLength": 10, "pattern": "^[0-9]*$"}),
            **_DAYS,
            **_NEXT,
        },
    ),
    Call("/cases/{case}", one_case, Right.CASES, "案件进程", "Course of a case",
         _object(case=_schema(Case), nodes={"type": "array"}, deadlines={"type": "array"}, total=COUNT, left_off=_ANY, next=TEXT), _NEXT),
    Call("/cases/{case}/lists/{list}", case_list, Right.CASES, "案件的一份清单", "One list of a case, whole",
         _object(rows={"type": "array"}, total=COUNT, next=TEXT), _NEXT),
    Call("/cases/{case}/receipts/{message}", case_receipts, Right.CASES, "报文回执", "Receipts of a message",
         _object(receipts={"type": "array"}), {}),
    Call("/persons/{person}", one_person, Right.CASES, "人员进程", "Course of a person",
         _object(person=_ANY, timeline=_ANY, next=TEXT), _NEXT),
    Call("/deadlines", list_deadlines, Right.CASES, "未结期限", "Running or paused terms of the unit, by their end or their pause",
         _list("deadlines", _ANY), {"kind": ("which", {"type": "string", "enum": list(deadlines.KINDS)}), **_NEXT}),
    Call("/questions", list_questions, Right.CASES, "监督事项", "Questions of supervision with their counts",
         _list("questions", _object(name=TEXT, zh=TEXT, en=TEXT, count=COUNT)), {}),
    Call("/questions/{question}", one_question, Right.CASES, "监督事项明细", "Rows of one question",
         _list("rows", _ANY), _NEXT),
    Call("/statistics/{table}", one_table, Right.STATISTICS, "统计表", "One table of the unit's statistics",
         _list("rows", _ANY), _SPAN),
    Call("/transfers", list_troubled, Right.TRAFFIC, "待处理传输", "Transfers that failed or are held",
         _list("transfers", _ANY), _NEXT),
    Call("/transfers/{transfer}", one_transfer, Right.TRAFFIC, "传输", "One transfer", _object(id=COUNT, state=TEXT), {}),
    Call("/messages/{message}/transfers", message_transfers, Right.TRAFFIC, "报文的传输", "Transfers of a message",
         _list("transfers", _ANY), _NEXT),
    Call("/units/{unit}", one_unit, Right.UNITS, "本单位前置机", "State of the unit's gateway",
         _object(code=TEXT, status=TEXT, health=TEXT, waiting=COUNT), {}),
)  # fmt: skip


def openapi(visit: Visit) -> Answer:
    """The OpenAPI 3.1 document of `CALLS`."""
    return Data(document())


_ERROR = _object(code=TEXT, zh=TEXT, en=TEXT)
_PATHS: Mapping[str, Json] = {
    "transfer": {"type": "integer", "minimum": 0, "maximum": 10**12},
    "table": {"type": "string", "enum": list(statistics.TABLES)},
    "list": {"type": "string", "enum": list(PARTS)},
}


def document() -> Json:
    paths: Json = {}
    errors = {
        status: {"description": words, "content": {"application/json": {"schema": _ERROR}}}
        for status, words in (
            ("400", "malformed"),
            ("401", "no token, or a wrong one"),
            ("404", "not there, or not the unit's"),
            ("503", "the hub or its data are away"),
        )
    }
    plain: Json = {"type": "string", "maxLength": 60, "pattern": "^[A-Za-z0-9._-]+$"}
    for call in CALLS:
        names = [p[1:-1] for p in call.path.split("/") if p.startswith("{")]
        parameters = [
            {"name": n, "in": "path", "required": True, "schema": _PATHS.get(n, plain)}
            for n in names
        ]
        parameters += [
            {"name": n, "in": "query", "description": words, "schema": schema}
            for n, (words, schema) in call.query.items()
        ]
        good = {"description": call.zh, "content": {"application/json": {"schema": call.gives}}}
        paths[ROOT + call.path] = {
            "get": {
                "summary": f"{call.zh} / {call.en}",
                "operationId": call.serve.__name__,
                "parameters": parameters,
                "responses": {"200": good, **errors},
            }
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "frontgate hub",
            "version": __version__,
            "description": "只读接口，须单位令牌。 / Read-only, by a unit's token.",
        },
        "security": [{"token": []}],
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "paths": paths,
    }


def _strict(call: Call) -> Callable[[Visit], Answer]:
    """Parameters that a call does not have are errors, and so are words that its schema refuses."""

    def serve(visit: Visit) -> Answer:
        for name, value in visit.query.items():
            known = call.query.get(name)
            if known is None or len(value) > int(known[1].get("maxLength", 60)):
                raise ConsoleError("FG-CON-015", what=name[:40])
            if not value and ("format" in known[1] or "enum" in known[1]):
                raise ConsoleError("FG-CON-015", what=name)
        if call.path.endswith("{unit}") and not is_unit_code(visit.path["unit"]):
            raise ConsoleError("FG-CON-010", value=visit.path["unit"][:40])
        return call.serve(visit)

    return serve


ENDPOINTS = (
    Endpoint(f"{ROOT}/openapi.json", openapi, None, is_api=True),
    Endpoint("/openapi.json", openapi, Right.TOKENS),
    *(Endpoint(ROOT + c.path, _strict(c), c.right, is_api=True) for c in CALLS),
)
