"""`frontgate list|show|trace|replay`: looking at transfers, and sending failed ones again."""

from __future__ import annotations

from typing import Any

import click

from frontgate.cli.node import actor, find_node
from frontgate.cli.output import Output


@click.command("list")
@click.option("--state", default="", help="Only this state: QUEUED, SENT, FAILED …")
@click.option("--type", "kind", default="", help="Only this flow or message type.")
@click.option("--case", default="", help="Only this CaseUid.")
@click.option("--limit", default=50, show_default=True, help="At most so many, newest first.")
@click.pass_obj
def list_(out: Output, state: str, kind: str, case: str, limit: int) -> None:
    """List transfers, newest first."""
    from frontgate.journal import views

    reader = find_node(out).reader()
    rows = views.list_transfers(reader, state=state.upper(), kind=kind, case=case, limit=limit)
    reader.close()
    if out.as_json:
        out.json({"transfers": rows})
        return
    for r in rows:
        click.echo(
            f"{r['transfer']:>7}  {r['state']:<12} {r['type']:<28} {r['message']}  "
            f"{r['destination']}{' ' + r['receiver'] if r['receiver'] else ''}  {r['reason']}"
        )


@click.command()
@click.argument("ident")
@click.pass_obj
def show(out: Output, ident: str) -> None:
    """Show all about one message: by MessageId, transfer id, SenderRef or name of the drop."""
    from frontgate.errors import JournalError
    from frontgate.journal import views

    reader = find_node(out).reader()
    found = views.find_packages(reader, ident)
    if not found:
        reader.close()
        raise JournalError("FG-JRN-005", value=ident)
    for package in found:
        package["transfers"] = views.transfers_of(reader, package["id"])
        package["receipts"] = (
            views.receipts_of(reader, package["message_id"]) if package["message_id"] else []
        )
    reader.close()
    if out.as_json:
        out.json({"packages": found})
        return
    for package in found:
        _show(out, package)


def _show(out: Output, p: dict[str, Any]) -> None:
    click.echo(f"{p['message_id'] or '-'}  {p['message_type']}  {p['state']}")
    for zh, en, key in (
        ("发件", "from", "sender"),
        ("收件", "to", "recipients"),
        ("案件", "case", "case_uid"),
        ("投放名", "drop", "drop_name"),
        ("受理时间", "at", "made_at"),
        ("内容摘要", "content", "content_digest"),
    ):
        if p[key]:
            click.echo(f"  {out.pick(zh, en)}: {p[key]}")
    for f in p["report"]:
        click.echo(f"  [{f['rule']}] {out.pick(f['zh'], f['en'])}")
    for t in p["transfers"]:
        click.echo(
            f"  → {t['destination']} {t['receiver']} #{t['attempt']} {t['state']} {t['reason']}"
        )
    for r in p["receipts"]:
        click.echo(f"  ← {r['time']} {r['kind']} {r['receiver']} ({r['issuer']})")


@click.command()
@click.argument("ident")
@click.pass_obj
def trace(out: Output, ident: str) -> None:
    """Show the course of a case or message: every step and receipt in order of time."""
    from frontgate.errors import JournalError
    from frontgate.journal import views

    reader = find_node(out).reader()
    steps = views.course(reader, ident)
    reader.close()
    if not steps:
        raise JournalError("FG-JRN-005", value=ident)
    if out.as_json:
        out.json({"course": steps})
        return
    for s in steps:
        click.echo(f"{s['time']}  {s['what']:<22} {s['type']:<26} {s['from']} → {s['to'] or '*'}")


@click.command()
@click.argument("idents", nargs=-1)
@click.option(
    "--failed", is_flag=True, help="Everything that failed, was cancelled or unconfirmed."
)
@click.option(
    "--since", default="", metavar="TIME", help="With --failed: changed at or after (RFC 3339)."
)
@click.option("--until", default="", metavar="TIME", help="With --failed: changed before.")
@click.option("--type", "kind", default="", help="With --failed: only this flow or message type.")
@click.option("--dry-run", is_flag=True, help="Show what would be sent again, do nothing.")
@click.option("--reason", default="", help="Why; kept in the audit trail. Asked for on a terminal.")
@click.pass_obj
def replay(
    out: Output,
    idents: tuple[str, ...],
    failed: bool,
    since: str,
    until: str,
    kind: str,
    dry_run: bool,
    reason: str,
) -> None:
    """Send failed transfers again: a new attempt with the same package.

    The same replay given twice has no second effect. Exit 1 if there was nothing to do.
    """
    from frontgate.pipeline import operate

    if bool(idents) == failed:
        raise click.UsageError("name ids, or --failed")
    node = find_node(out)
    if dry_run:
        reader = node.reader()
        rows: list[dict[str, Any]] = (
            operate.failed(reader, since=since, until=until, kind=kind)
            if failed
            else [{"transfer": t} for i in idents for t in operate.find_transfers(reader, i)]
        )
        reader.close()
        out.emit({"would": rows}, f"将重发 {len(rows)} 件", f"{len(rows)} would be sent again")
        return
    reason = reason or click.prompt(out.pick("原因", "Reason"))
    request: dict[str, Any] = (
        {"act": "replay-failed", "since": since, "until": until, "type": kind}
        if failed
        else {"act": "replay", "ids": list(idents)}
    )
    reply = node.ask({**request, "actor": actor(), "reason": reason})
    if reply is not None:
        done = reply["done"]
    else:
        with node.journal() as journal:
            done = (
                operate.replay_failed(
                    journal, actor=actor(), reason=reason, since=since, until=until, kind=kind
                )
                if failed
                else operate.replay_ids(journal, idents, actor=actor(), reason=reason)
            )
    fresh = [d for d in done if d.get("new") is not None]
    out.emit(
        {"done": done},
        f"已重新排队 {len(fresh)} 件" if fresh else "没有可重发的（仍在途、已确认，或已重发过）",
        f"{len(fresh)} queued again"
        if fresh
        else "Nothing to send again (still under way, acknowledged, or replayed already)",
    )
    if not fresh:
        raise click.exceptions.Exit(1)


def _operator_command(
    name: str, event: str, help_text: str, done_zh: str, done_en: str
) -> click.Command:
    """`hold`, `release` and `cancel` differ by the event alone."""

    @click.command(name, help=help_text)
    @click.argument("idents", nargs=-1, required=True, metavar="ID...")
    @click.option(
        "--reason", default="", help="Why; kept in the audit trail. Asked for on a terminal."
    )
    @click.pass_obj
    def command(out: Output, idents: tuple[str, ...], reason: str) -> None:
        from frontgate.core.lifecycle import TransferEvent
        from frontgate.pipeline import operate

        node = find_node(out)
        reason = reason or click.prompt(out.pick("原因", "Reason"))
        done: list[dict[str, Any]] = []
        for ident in idents:
            request = {"act": "change", "id": ident, "event": event}
            reply = node.ask({**request, "actor": actor(), "reason": reason})
            if reply is not None:
                done += reply["done"]
                continue
            with node.journal() as journal:
                done += operate.change(
                    journal, ident, TransferEvent(event), actor=actor(), reason=reason
                )
        out.emit({"done": done}, f"{done_zh} {len(done)} 件", f"{len(done)} {done_en}")

    return command


hold = _operator_command(
    "hold",
    "hold",
    "Keep a waiting transfer (id, or MessageId) from being sent, until released.",
    "已暂停",
    "held",
)
release = _operator_command(
    "release", "release", "Let a held transfer go on.", "已放行", "released"
)
cancel = _operator_command(
    "cancel",
    "cancel",
    "End a waiting or held transfer: its sender gets a signed relay-failed with the reason.",
    "已取消",
    "cancelled",
)
