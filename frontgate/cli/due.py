"""`frontgate hub due`: what is due and overdue, explained with rule, article and both times."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from frontgate.cli.cases import hub_settings, hub_standards, open_cases
from frontgate.cli.moments import SPAN, moment_of
from frontgate.cli.output import Output, say
from frontgate.values import asdict

if TYPE_CHECKING:
    from frontgate.cases.read import Cases
    from frontgate.cases.records import Act, Deadline


@click.group(invoke_without_command=True)
@click.option("--unit", default="", help="Only what this unit must do.")
@click.option("--days", default=30, show_default=True, help="What ends within so many days.")
@click.option("--overdue", is_flag=True, help="Only what is overdue.")
@click.option("--paused", is_flag=True, help="What was paused and not resumed, the longest first.")
@click.option("--case", "case_uid", default="", help="All terms of one case, whatever their state.")
@click.option(
    "--as-known",
    "as_known",
    default="",
    metavar="TIME",
    callback=moment_of,
    help=f"With --case: as known then. {SPAN}.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many."
)
@click.option(
    "--rules", is_flag=True, help="List all terms: what arms each, and whether messages show it."
)
@click.pass_context
def due(
    ctx: click.Context,
    unit: str,
    days: int,
    overdue: bool,
    paused: bool,
    case_uid: str,
    as_known: str,
    limit: int,
    rules: bool,
) -> None:
    """List terms that are due or overdue, the earliest first. Exit 1 if anything is overdue.

    JSON: id, rule, unit, start_at, start_known_at, due_at, state, level, changes, paused_at,
    pause_reason, stop_at, stop_known_at …
    """
    if ctx.invoked_subcommand is not None:
        return
    out: Output = ctx.obj
    if rules:
        _rules(out)
        return
    from frontgate import clock
    from frontgate.cases.then import as_known_then
    from frontgate.cases.times import last_of_term, stored
    from frontgate.cli.case_texts import STATES, Words, local, pad
    from frontgate.cli.looks import keep_look
    from frontgate.cli.node import hub_node

    settings = hub_settings(out)
    standards = hub_standards(settings)
    words = Words(standards.version(standards.newest), out.language)
    source = open_cases(settings, standards)
    now = clock.now()
    if case_uid and as_known:
        at = datetime.fromisoformat(as_known)
        found: list[Deadline] = as_known_then(source, standards, case_uid, at)
        now = at
    elif case_uid:
        found = []
        while page := source.deadlines_of(case_uid, first=len(found)):
            found += page
    else:
        found = []
        while len(found) <= limit:
            left, last = limit + 1 - len(found), found[-1] if found else None
            if paused:
                key = (last.paused_at, last.id) if last else ("", "")
                page = source.paused(unit=unit, after=key, limit=left)
            else:
                key = (last.due_at, last.id) if last else ("", "")
                page = source.due(
                    now, until=now + timedelta(days=days), unit=unit, overdue_only=overdue,
                    after=key, limit=left,
                )  # fmt: skip
            if not page:
                break
            found += page
    is_more = not case_uid and len(found) > limit
    found = found[:limit] if is_more else found
    rows = [_row(d, now, stored) for d in found]
    acts = {d.id: _acts(source, d.id) for d in found} if out.as_json else {}
    source.close()
    keep_look(
        hub_node(settings),
        "deadlines",
        kind="paused" if paused else "",
        unit=unit,
        case=case_uid,
        as_known=as_known,
        hits=len(found),
    )
    if out.as_json:
        for row in rows:
            row["acts"] = [asdict(a) for a in acts[str(row["id"])]]
        out.json({"deadlines": rows, "more": is_more})
    else:
        for d, row in zip(found, rows, strict=True):
            say(
                f"{d.id}  {pad(words.pick(STATES, str(row['level'] or d.state)), 14)}"
                f"{pad(last_of_term(d.due_at), 18)}{d.unit}  {d.rule:<10} {words.rule(d.rule)}  "
                f"{d.subject or d.case_uid or d.flow_uid}"
            )
            say(
                out.pick(
                    f"    起算 {local(d.start_at)}（平台知悉 {local(d.start_known_at)}）"
                    f"；依据：{'、'.join(words.basis(d.rule))}",
                    f"    runs from {local(d.start_at)} (known {local(d.start_known_at)}); "
                    f"basis: {', '.join(words.basis(d.rule))}",
                )
            )
            if d.paused_at:
                say(
                    out.pick(
                        f"    自 {local(d.paused_at)} 中止：{words.reason(d.pause_reason)}",
                        f"    paused since {local(d.paused_at)}: {words.reason(d.pause_reason)}",
                    )
                )
        if is_more:
            out.line(
                f"（以上为前 {limit} 项，另有未列出的：加大 --limit）",
                f"(the first {limit}; there are more: a larger --limit)",
            )
    if any(row["level"] == "overdue" for row in rows):
        raise click.exceptions.Exit(1)


def _acts(source: Cases, item: str) -> list[Act]:
    """All that was done about a term."""
    found: list[Act] = []
    while page := source.acts(item=item, first=len(found)):
        found += page
    return found


def _row(d: Deadline, now: datetime, stored: Any) -> dict[str, Any]:
    return {**asdict(d), "level": d.level(stored(now))}


def _rules(out: Output) -> None:
    from frontgate.cases.rules import CaseRules

    settings = hub_settings(out)
    standards = hub_standards(settings)
    case_rules = CaseRules(standards.version(standards.newest))
    rows = [
        {
            "term": t.id,
            "start": t.term.start.message or t.term.start.event,
            "armed_by_messages": case_rules.is_armed(t),
            "lapses": t.id in case_rules.lapsing,
            "zh": t.rule.zh,
            "en": t.rule.en,
        }
        for t in case_rules.terms.values()
    ]
    if out.as_json:
        out.json({"terms": rows})
        return
    for r in rows:
        armed = (
            out.pick("由报文起算", "armed")
            if r["armed_by_messages"]
            else out.pick("报文不可见", "unseen")
        )
        lapse = out.pick("，期满不计逾期", ", lapses") if r["lapses"] else ""
        say(
            f"{r['term']:<22} {r['start']:<34} {armed}{lapse}  {out.pick(str(r['zh']), str(r['en']))}"
        )


@due.command()
@click.option("--days", default=30, show_default=True, help="Look back so far.")
@click.pass_obj
def absent(out: Output, days: int) -> None:
    """List gateways that fetched nothing for an hour of working time. Exit 1 if one is absent now."""
    from frontgate import clock
    from frontgate.cases.absence import absences, as_rows
    from frontgate.cli.case_texts import local

    settings = hub_settings(out)
    standards = hub_standards(settings)
    source = open_cases(settings, standards)
    now = clock.now()
    calendar = standards.version(standards.newest).calendar
    found = absences(source, calendar, now, now - timedelta(days=days))
    source.close()
    if out.as_json:
        out.json({"absences": as_rows(found)})
    for a in found if not out.as_json else ():
        say(
            out.pick(
                f"{a.unit}  {local(a.begin)} 至 {local(a.end)}  {a.messages} 件未取",
                f"{a.unit}  {local(a.begin)} to {local(a.end)}  {a.messages} messages not fetched",
            )
        )
    if any(not a.end for a in found):
        raise click.exceptions.Exit(1)


@due.command()
@click.option(
    "--since", required=True, metavar="TIME", callback=moment_of, help=f"From then. {SPAN}."
)
@click.option(
    "--until", required=True, metavar="TIME", callback=moment_of, help=f"Until then. {SPAN}."
)
@click.option(
    "-o",
    "--out",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the signed certificate here.",
)
@click.pass_obj
def outage(out: Output, since: str, until: str, target: Path | None) -> None:
    """Certify when the exchange itself was down, with the audit chain's entries as evidence.

    Exit 1 if it was not down in that span.
    """
    from frontgate import clock, durable
    from frontgate.cases.absence import as_rows, certificate, outages
    from frontgate.cli.case_texts import local
    from frontgate.cli.cases import state_file
    from frontgate.journal import open_reader
    from frontgate.suites import load_signer

    settings = hub_settings(out)
    source = open_cases(settings, hub_standards(settings))
    found = outages(source, since, until)
    if target is not None:
        keys = settings.path(settings.node.keys)
        signer = load_signer(keys / "hub.key", keys / "hub.pem", settings.unit)
        journal = open_reader(state_file(settings, "journal.db"))
        span = datetime.fromisoformat(since), datetime.fromisoformat(until)
        data = certificate(source, journal, signer, *span, clock.now())
        journal.close()
        durable.write_file(target, data, 0o644)
    source.close()
    if out.as_json:
        out.json({"outages": as_rows(found), "certificate": str(target or "")})
    for o in found if not out.as_json else ():
        word = out.pick("停止于", "stopped") if o.is_exact else out.pick("最后动作于", "last act")
        say(
            out.pick(
                f"{word} {local(o.begin)}，恢复于 {local(o.end)}（审计链 {o.before_seq}、{o.after_seq}）",
                f"{word} {local(o.begin)}, back {local(o.end)} (audit chain {o.before_seq}, {o.after_seq})",
            )
        )
    if not found:
        raise click.exceptions.Exit(1)


def _act_command(name: str, help_text: str) -> click.Command:
    """explain, dispute, close and confirm differ by the act alone."""

    @click.command(name, help=help_text)
    @click.argument("ident", metavar="ID")
    @click.option("--for", "unit", required=True, help="The unit that acts, by its code.")
    @click.option("--code", default="", help="Reason, a code of due-reason.")
    @click.option("--text", default="", help="What the unit says.")
    @click.pass_obj
    def command(out: Output, ident: str, unit: str, code: str, text: str) -> None:
        act(out, name, ident, unit, code, text)

    return command


due.add_command(_act_command("explain", "The acting unit explains why a term is late or will be."))
due.add_command(_act_command("dispute", "The acting unit disputes a term."))
due.add_command(
    _act_command("close", "The acting unit says that it is done; a second party confirms.")
)
due.add_command(
    _act_command("confirm", "Another party, or the committee, confirms what was closed.")
)


def act(out: Output, name: str, item: str, unit: str, code: str, text: str) -> None:
    """Have an act recorded by the running hub, or here where none runs."""
    from frontgate.cases.acts import Acts
    from frontgate.cli.node import actor, hub_node

    settings = hub_settings(out)
    standards = hub_standards(settings)
    source = open_cases(settings, standards)
    source.close()
    node = hub_node(settings)
    wanted = {
        "kind": name,
        "item": item,
        "unit": unit,
        "code": code,
        "text": text,
        "actor": actor(),
    }
    reply = node.ask({"act": "case-act", **wanted})
    if reply is None:
        with node.journal() as journal:
            reply = Acts(journal, node.state / "cases.db", standards).handle(wanted)
    out.emit(
        {"seq": reply["seq"], **wanted},
        f"已记入审计链第 {reply['seq']} 条",
        f"Recorded as number {reply['seq']} of the audit chain",
    )
