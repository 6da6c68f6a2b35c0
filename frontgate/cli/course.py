"""The course of a case on a terminal: head, parties, steps in columns, terms, acts, alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from frontgate.cases.times import last_of_term
from frontgate.cli.case_texts import ACTS, ALARMS, HOW, LINKS, STATES, Words, local, pad
from frontgate.cli.output import Output, say

if TYPE_CHECKING:
    from frontgate.cases.records import Deadline, Node, Person, Timeline
    from frontgate.settings import HubSettings


def course_of(
    out: Output, settings: HubSettings, ident: str, first: int = 0
) -> tuple[Timeline, Words] | None:
    """The course of a case, or of a person by the PersonUid, with the words for it; it is a look, and
    kept as one. None where the projections do not know it. first: messages that are left out before.

    Raises: ConsoleError FG-CON-004.
    """
    from frontgate.cli.cases import hub_standards, open_cases
    from frontgate.cli.looks import keep_look
    from frontgate.cli.node import hub_node

    case_uid, person = _parts(ident)
    standards = hub_standards(settings)
    source = open_cases(settings, standards)
    line = source.timeline(case_uid, person=person, first=first)
    source.close()
    if line is None:
        return None
    part = {"from": first + 1} if first else {}
    what = "person" if person else "case"
    keep_look(hub_node(settings), what, case=case_uid, person=person, **part)
    return line, Words(standards.version(standards.newest), out.language)


def _parts(ident: str) -> tuple[str, str]:
    """(CaseUid, PersonUid or empty) of what a command was given."""
    case_uid = ident.rpartition("-P")[0] or ident
    return case_uid, ident if case_uid != ident else ""


def list_of(
    out: Output, settings: HubSettings, ident: str, name: str, first: int
) -> tuple[list[Any], int, Words] | None:
    """A part of one list of a case or person and how many it has in all; a look, as the course is."""
    from frontgate.cli.cases import hub_standards, open_cases
    from frontgate.cli.looks import keep_look
    from frontgate.cli.node import hub_node

    case_uid, person = _parts(ident)
    standards = hub_standards(settings)
    source = open_cases(settings, standards)
    known = source.case(case_uid) is not None
    rows = source.part(name, case_uid, person=person, first=first)
    total = source.part_size(name, case_uid, person=person)
    source.close()
    if not known:
        return None
    part = {"list": name, **({"from": first + 1} if first else {})}
    what = "person" if person else "case"
    keep_look(hub_node(settings), what, case=case_uid, person=person, **part)
    return rows, total, Words(standards.version(standards.newest), out.language)


def show_course(out: Output, ident: str, line: Timeline, words: Words) -> None:
    """Print the course of a case or person, by `ident`."""
    _head(out, line, words)
    for node in line.nodes:
        _node(out, node, words)
    if line.first or line.after:
        _part(out, ident, line)
    from frontgate import clock
    from frontgate.cases.times import stored

    now = stored(clock.now())
    if line.deadlines:
        out.line("期限", "Terms")
    for d in line.deadlines:
        _deadline(out, d, words, now)
    _left_off(out, ident, line, "deadlines")
    for name, rows in (("acts", line.acts), ("links", line.links), ("alarms", line.alarms)):
        for row in rows:
            _row(out, name, row, words, now)
        _left_off(out, ident, line, name)


def show_list(
    out: Output, name: str, rows: list[Any], first: int, total: int, words: Words
) -> None:
    """Print a part of one list of a case. first: rows that come before it."""
    from frontgate import clock
    from frontgate.cases.times import stored

    now = stored(clock.now())
    for row in rows:
        _row(out, name, row, words, now)
    last = first + len(rows)
    more = f"；其余：--from {last + 1}" if last < total else ""
    on = f"; the rest: --from {last + 1}" if last < total else ""
    out.line(
        f"—— 第 {first + 1} 至 {last} 项，共 {total} 项{more}",
        f"-- {first + 1} to {last} of {total}{on}",
    )


def _left_off(out: Output, ident: str, line: Timeline, name: str) -> None:
    """How many of a list are not here, and how to see them."""
    count = line.left_off.get(name, 0)
    if count:
        onward = f"frontgate trace {ident} --list {name} --from {len(getattr(line, name)) + 1}"
        out.line(f"  （另有 {count} 项：{onward}）", f"  ({count} more: {onward})")


def _row(out: Output, name: str, row: Any, words: Words, now: str) -> None:
    """One row of a list of a case."""
    match name:
        case "persons":
            _person(out, row, words)
        case "deadlines":
            _deadline(out, row, words, now)
        case "acts":
            told = f"{words.pick(ACTS, row.act)} {row.item} {row.unit} {row.code} {row.text}"
            say(f"  {local(row.at)}  {told}")
        case "links":
            say(f"  {words.pick(LINKS, row.kind)}: {row.other_uid} {' '.join(row.persons)}")
        case "instances":
            say(
                f"  {local(row.opened_at)}  {row.flow} {row.flow_uid} {row.opener} → {row.receiver}"
            )
        case "alarms":
            say(f"  ! {local(row.at)} {words.pick(ALARMS, row.kind)}: {row.unit} {row.detail}")


def _person(out: Output, p: Person, words: Words) -> None:
    due = f"  {out.pick('羁押至', 'held until')} {p.custody_due}" if p.custody_due else ""
    say(
        f"  {p.person_uid[-4:]} {pad(p.name, 12)} {words.code('case-stage', p.stage)}  "
        f"{words.code('custody-status', p.custody)}{due}"
    )


def _part(out: Output, ident: str, line: Timeline) -> None:
    """Which messages these are, and how to see those that follow."""
    first, last = line.first + 1, line.first + len(line.nodes)
    zh = f"—— 第 {first} 至 {last} 件，共 {line.total} 件"
    en = f"-- messages {first} to {last} of {line.total}"
    if line.after:
        onward = f"frontgate trace {ident} --from {line.after + 1}"
        zh += f"；还有 {line.total - line.after} 件：{onward}"
        en += f"; {line.total - line.after} more: {onward}"
    out.line(zh, en)


def _head(out: Output, line: Timeline, words: Words) -> None:
    c = line.case
    say(f"{c.case_uid}  {c.name}")
    out.line(
        f"  阶段：{words.code('case-stage', c.stage)}（{local(c.stage_at, day=True)}）  罪名：{words.code('crime', c.crime)}",
        f"  stage: {words.code('case-stage', c.stage)} ({local(c.stage_at, day=True)})  "
        f"crime: {words.code('crime', c.crime)}",
    )
    for p in line.persons:
        _person(out, p, words)
    _left_off(out, c.case_uid, line, "persons")
    for party in line.parties:
        say(f"  {party.unit}  {pad(words.pick(HOW, party.how), 14)} {local(party.since)}")


def _node(out: Output, node: Node, words: Words) -> None:
    marks = ""
    if node.is_outside:
        marks += out.pick(" [案外]", " [outside]")
    if node.is_sequence:
        marks += out.pick(" [次序]", " [sequence]")
    if node.original:
        marks += out.pick(" [摘录]", " [extract]")
    say(f"{local(node.effective_at)}  {pad(words.type(node.type), 34)} {node.sender}{marks}")
    say(
        out.pick(
            f"      平台中继 {local(node.relayed_at)}  {node.message_id}",
            f"      relayed {local(node.relayed_at)}  {node.message_id}",
        )
    )
    for r in node.receivers:
        cc = out.pick("抄送 ", "cc ") if r.mode == "cc" else ""
        failed = (
            f"  ✗ {r.failed_kind} {local(r.failed_at)}"
            if r.failed_at and not r.delivered_at
            else ""
        )
        say(
            out.pick(
                f"      → {cc}{r.unit}  送达 {local(r.delivered_at)}  取走 {local(r.handed_at)}{failed}",
                f"      → {cc}{r.unit}  delivered {local(r.delivered_at)}  taken {local(r.handed_at)}{failed}",
            )
        )
    for d in node.documents:
        say(f"      · {d.title}  {d.digest[:16]}")
    for o in node.outcomes:
        say(f"      ▪ {o.person_uid[-4:]} {words.code(o.list, o.code)} {o.doc_no} {o.reason}")
    for f in node.flags:
        say(f"      [{f['rule']}] {out.pick(f['zh'], f['en'])}")


def _deadline(out: Output, d: Deadline, words: Words, now: str) -> None:
    level = d.level(now)
    state = words.pick(STATES, level or d.state)
    stopped = ""
    if d.stop_at:
        stopped = out.pick(
            f"  止于 {local(d.stop_at)}（知悉 {local(d.stop_known_at)}）",
            f"  ended {local(d.stop_at)} (known {local(d.stop_known_at)})",
        )
    paused = ""
    if d.paused_at:
        paused = out.pick(
            f"  自 {local(d.paused_at)} 中止：{words.reason(d.pause_reason)}",
            f"  paused since {local(d.paused_at)}: {words.reason(d.pause_reason)}",
        )
    beyond = (
        out.pick("  申报期限超出法定上限", "  stated beyond the law's longest")
        if d.is_beyond
        else ""
    )
    say(
        f"  {d.id}  {pad(state, 14)}{pad(last_of_term(d.due_at), 18)}{d.unit}  {words.rule(d.rule)} {d.subject[-4:]}"
        f"{stopped}{paused}{beyond}"
    )
