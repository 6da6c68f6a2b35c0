"""`frontgate list|show|trace`: looking at transfers."""

from __future__ import annotations

from functools import cache
from typing import Any

import click

from frontgate.cli.node import Node, find_node
from frontgate.cli.output import Output, say
from frontgate.settings import HubSettings
from frontgate.values import asdict

_NO_ADVICE = {"zh": "", "en": "", "advice_zh": "", "advice_en": ""}


@click.command("list")
@click.option("--state", default="", help="Only this state: QUEUED, SENT, FAILED …")
@click.option("--type", "kind", default="", help="Only this flow or message type.")
@click.option("--case", default="", help="Only this CaseUid.")
@click.option("--limit", default=50, show_default=True, help="At most so many, newest first.")
@click.option(
    "--failed",
    is_flag=True,
    help="What failed and waits for somebody: why, since when, what to do.",
)
@click.pass_obj
def list_(out: Output, state: str, kind: str, case: str, limit: int, failed: bool) -> None:
    """List transfers, newest first. With --failed: oldest first, exit 1 if there are any."""
    from frontgate.journal import views

    node = find_node(out)
    reader = node.reader()
    if failed:
        rows = views.failed(reader, kind=kind, case=case, limit=limit)
    else:
        rows = views.list_transfers(reader, state=state.upper(), kind=kind, case=case, limit=limit)
    reader.close()
    if case:
        _look(node, "transfer", case=case, hits=len(rows))
    if failed:
        _list_failed(out, rows)
        return
    if out.as_json:
        out.json({"transfers": rows})
        return
    for r in rows:
        say(
            f"{r['transfer']:>7}  {out.word('state', r['state'], 22)} {r['type']:<28} {r['message']}  "
            f"{r['destination']}{' ' + r['receiver'] if r['receiver'] else ''}  {r['reason']}"
        )


def _look(node: Node, what: str, /, **data: object) -> None:
    """At a hub: what is about to be shown is a look at a case, and kept as one."""
    if node.role == "hub":
        from frontgate.cli.looks import keep_look

        keep_look(node, what, **data)


def _list_failed(out: Output, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row.update(_advice(row["reason"]))
    if out.as_json:
        out.json({"transfers": rows})
    for r in rows if not out.as_json else ():
        say(
            f"{r['transfer']:>7}  {out.word('state', r['state'], 22)} {r['type']:<28} {r['message']}"
            f"  {r['destination']}"
            f"{' ' + r['receiver'] if r['receiver'] else ''}"
        )
        since = out.pick("自", "since")
        say(
            f"         {since} {out.when(r['changed_at'])}  {r['reason']} {out.pick(r['zh'], r['en'])}"
        )
        say(f"         → {out.pick(r['advice_zh'], r['advice_en'])}")
    if not rows and not out.as_json:
        out.line("没有失败待处理的传输", "Nothing has failed and waits")
    if rows:
        raise click.exceptions.Exit(1)


@cache
def _advice(reason: str) -> dict[str, str]:
    """Text and advice of a reason's code; a code of another version's table says only itself."""
    from frontgate.cli.rule_texts import plain, rule_text
    from frontgate.errors import all_codes

    row = all_codes().get(reason)
    if row is not None:
        return {
            "zh": plain(row.zh),
            "en": plain(row.en),
            "advice_zh": row.advice_zh,
            "advice_en": row.advice_en,
        }
    rule = rule_text(reason) or {"zh": reason, "en": reason}
    advice = f"frontgate explain {reason}"
    return {"zh": rule["zh"], "en": rule["en"], "advice_zh": advice, "advice_en": advice}


@click.command()
@click.argument("ident")
@click.pass_obj
def show(out: Output, ident: str) -> None:
    """Show all about one message: by MessageId, transfer id, SenderRef or name of the drop."""
    from frontgate.errors import JournalError
    from frontgate.journal import views

    node = find_node(out)
    reader = node.reader()
    found = views.find_packages(reader, ident)
    if not found:
        reader.close()
        raise JournalError("FG-JRN-005", value=ident)
    for package in found:
        package["transfers"] = [
            {**t, **(_advice(t["reason"]) if t["reason"] else _NO_ADVICE)}
            for t in views.transfers_of(reader, package["id"])
        ]
        package["receipts"] = (
            views.receipts_of(reader, package["message_id"], package["sender"])
            if package["message_id"]
            else []
        )
    reader.close()
    _look(node, "transfer", message=ident, hits=len(found))
    if out.as_json:
        out.json({"packages": found})
        return
    for package in found:
        _show(out, package)


def _show(out: Output, p: dict[str, Any]) -> None:
    say(f"{p['message_id'] or '-'}  {p['message_type']}  {p['state']}")
    for zh, en, key in (
        ("发件", "from", "sender"),
        ("收件", "to", "recipients"),
        ("案件", "case", "case_uid"),
        ("投放名", "drop", "drop_name"),
        ("受理时间", "at", "made_at"),
        ("内容摘要", "content", "content_digest"),
    ):
        if p[key]:
            shown = out.when(p[key]) if key == "made_at" else p[key]
            say(f"  {out.pick(zh, en)}: {shown}")
    for f in p["report"]:
        say(f"  [{f['rule']}] {out.pick(f['zh'], f['en'])}")
    for t in p["transfers"]:
        say(
            f"  → {t['destination']} {t['receiver']} #{t['attempt']} {out.word('state', t['state'])}"
            f" {t['reason']} ({out.when(t['changed_at'])})"
        )
        if t["advice_zh"]:
            say(f"      {out.pick(t['zh'], t['en'])}")
            say(f"      → {out.pick(t['advice_zh'], t['advice_en'])}")
    for r in p["receipts"]:
        say(
            f"  ← {out.when(r['time'])} {out.word('receipt', r['kind'])} {r['receiver']} ({r['issuer']})"
        )


def _list(out: Output, node: Node, ident: str, name: str, first: int) -> None:
    from frontgate.cli.course import list_of, show_list
    from frontgate.errors import JournalError

    settings = node.settings
    found = (
        list_of(out, settings, ident, name, first) if isinstance(settings, HubSettings) else None
    )
    if found is None:
        raise JournalError("FG-JRN-005", value=ident)
    rows, total, words = found
    if out.as_json:
        out.json({name: [asdict(r) for r in rows], "first": first, "total": total})
    else:
        show_list(out, name, rows, first, total, words)


@click.command()
@click.argument("ident")
@click.option(
    "--from",
    "number",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    help="On a hub: begin with the N-th message of the case, or row of the list; 500 are shown at once.",
)
@click.option(
    "--list",
    "name",
    type=click.Choice(["persons", "instances", "deadlines", "acts", "links", "alarms"]),
    help="On a hub: one list of the case alone, as far as it goes.",
)
@click.pass_obj
def trace(out: Output, ident: str, number: int, name: str | None) -> None:
    """Show the course of a case or message: every step and receipt in order of time.

    On a hub a case (or a PersonUid) is shown with its persons, parties, documents, outcomes and terms.
    """
    from frontgate.errors import JournalError
    from frontgate.journal import views

    node = find_node(out)
    reader = node.reader()
    steps = views.course(reader, ident) if name is None else []
    reader.close()
    if name is not None:
        _list(out, node, ident, name, number - 1)
        return
    if isinstance(node.settings, HubSettings):
        from frontgate.cli.course import course_of, show_course

        found = course_of(out, node.settings, ident, number - 1)
        if found is not None and out.as_json:
            out.json({"course": steps, **asdict(found[0])})
        elif found is not None:
            show_course(out, ident, *found)
        if found is not None:
            return
    if not steps:
        raise JournalError("FG-JRN-005", value=ident)
    _look(node, "transfer", message=ident)
    if out.as_json:
        out.json({"course": steps})
        return
    for s in steps:
        say(
            f"{out.when(s['time'])}  {out.word('receipt', s['what'], 30)} {s['type']:<26}"
            f" {s['from']} → {s['to'] or '*'}"
        )
