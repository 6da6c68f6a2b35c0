"""`frontgate replay|hold|release|cancel`: acts on transfers, by id or by a choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from frontgate.cli.bulk import act_in_bulk, show_jobs, stop_job
from frontgate.cli.moments import SPAN, moment_of
from frontgate.cli.node import Node, actor, find_node
from frontgate.cli.output import Output


def _choosing(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all four share."""
    for option in reversed(
        (
            click.option("--to", default="", metavar="UNIT", help="Only to this unit."),
            click.option("--type", "kind", default="", help="Only this flow or message type."),
            click.option(
                "--since",
                default="",
                metavar="TIME",
                callback=moment_of,
                help=f"Changed at or after. {SPAN}.",
            ),
            click.option(
                "--until",
                default="",
                metavar="TIME",
                callback=moment_of,
                help=f"Changed before. {SPAN}.",
            ),
            click.option("--dry-run", is_flag=True, help="Only show what would be acted on."),
            click.option(
                "--rate",
                "per_s",
                type=click.FloatRange(min=0),
                default=0.0,
                metavar="N",
                help="At most so many a second.",
            ),
            click.option("--detach", is_flag=True, help="Do not wait: the daemon goes on."),
            click.option(
                "--reason", default="", help="Why; kept in the audit trail. Else asked for."
            ),
        )
    ):
        command = option(command)
    return command


@click.command()
@click.argument("idents", nargs=-1, metavar="[ID]...")
@click.option("--failed", is_flag=True, help="All that failed, was cancelled or is unconfirmed.")
@click.option(
    "--again",
    is_flag=True,
    help="With --to: also what that unit was given and has handed over already.",
)
@click.option("--gaps", is_flag=True, help="What reconciliation named and this side can close.")
@_choosing
@click.option("--status", "show_status", is_flag=True, help="Show bulk acts and how far they are.")
@click.option("--stop", "stop_id", type=int, metavar="JOB", help="Stop a bulk act where it is.")
@click.pass_obj
def replay(
    out: Output,
    idents: tuple[str, ...],
    failed: bool,
    again: bool,
    gaps: bool,
    to: str,
    kind: str,
    since: str,
    until: str,
    dry_run: bool,
    per_s: float,
    detach: bool,
    reason: str,
    show_status: bool,
    stop_id: int | None,
) -> None:
    """Send again: a new attempt with the same package. The same replay twice has no second effect.

    ID: a MessageId or transfer id. --failed: everything that failed. --to UNIT without --failed, at
    the hub: everything that unit was given and has not handed over, as after the loss of its disk
    (its gateway recognises what it still has). Shows a plan, asks for a reason, goes to work; a stop
    or crash loses nothing, the daemon goes on. Exit 1 if there was nothing to do.
    """
    from frontgate.journal.bulk import AGAIN, FAILED, NEEDED, Choice

    node = find_node(out)
    if show_status:
        show_jobs(out, node)
        return
    if stop_id is not None:
        stop_job(out, node, stop_id, reason)
        return
    by_unit = bool(to) and not failed
    if sum((bool(idents), failed, gaps, by_unit)) != 1 or (again and not by_unit):
        raise click.UsageError("name ids, or --failed, --gaps, or --to UNIT (with it --again)")
    if by_unit and node.role != "hub":
        raise click.UsageError("--to without --failed is an act of the hub")
    if gaps:
        idents = _ids_of_gaps(out, node)
    if idents:
        _replay_ids(out, node, idents, reason, dry_run=dry_run, only_gaps=gaps)
        return
    scope = FAILED if failed else AGAIN if again else NEEDED
    choice = Choice("replay", scope, to, kind, since, until)
    act_in_bulk(out, node, choice, per_s=per_s, dry_run=dry_run, detach=detach, reason=reason)


def _ids_of_gaps(out: Output, node: Node) -> tuple[str, ...]:
    from frontgate.journal import reconcile

    reader = node.reader()
    found = tuple(dict.fromkeys(gap.key.message_id for _, gap in reconcile.gaps(reader)))
    reader.close()
    if not found:
        out.emit({"done": []}, "没有对账差异", "Reconciliation has named nothing")
        raise click.exceptions.Exit(1)
    return found


def _replay_ids(
    out: Output, node: Node, idents: tuple[str, ...], reason: str, *, dry_run: bool, only_gaps: bool
) -> None:
    from frontgate.core.lifecycle import Transfer
    from frontgate.errors import JournalError
    from frontgate.journal import transfers
    from frontgate.pipeline import operate

    if dry_run and only_gaps:
        out.emit(
            {"would": [{"message": ident} for ident in idents]},
            f"对账差异 {len(idents)} 件",
            f"{len(idents)} messages with gaps",
        )
        return
    if dry_run:
        reader = node.reader()
        rows = [row for ident in idents for row in operate.newest_transfers(reader, ident)]
        reader.close()
        would = [row for row in rows if row.state in transfers.REPLAYABLE]
        out.emit(
            {"would": [{"transfer": r.transfer_id, "message": r.message_id} for r in would]},
            f"将重发 {len(would)} 件",
            f"{len(would)} would be sent again",
        )
        return
    reason = reason or click.prompt(out.pick("原因", "Reason"))
    request = {"act": "replay", "ids": list(idents), "only_gaps": only_gaps}
    reply = node.ask({**request, "actor": actor(), "reason": reason})
    if reply is not None:
        done = reply["done"]
    elif only_gaps:
        raise JournalError("FG-JRN-009")
    else:
        with node.journal() as journal:
            done = operate.replay_ids(journal, idents, actor=actor(), reason=reason)
    fresh = [d for d in done if d["new"] is not None]
    if out.as_json:
        out.json({"done": done})
    for d in done if not out.as_json else ():
        if d["new"] == 0:
            out.line(
                f"{d['message']} 的回执已再次发出", f"{d['message']}: its receipts travel again"
            )
        elif d["new"] is not None:
            out.line(f"{d['message']} 已重新排队", f"{d['message']} is queued again")
        elif d["receipt"]:
            r = d["receipt"]
            out.line(
                f"{d['message']} 早已办结，原回执：{out.word('receipt', r['kind'])} {out.when(r['time'])}",
                f"{d['message']} was done before; its receipt: {r['kind']} {out.when(r['time'])}",
            )
        elif d["is_pruned"]:
            out.line(
                f"{d['message']} 的内容已到期清理，见 archive",
                f"{d['message']}: its content was pruned when its term was over, see archive",
            )
        elif d["state"] in {s.value for s in transfers.REPLAYABLE}:
            out.line(f"{d['message']} 已重发过", f"{d['message']} was replayed before")
        else:
            state = Transfer(d["state"]).value
            out.line(f"{d['message']} 仍在途（{state}）", f"{d['message']} is under way ({state})")
    if not fresh:
        raise click.exceptions.Exit(1)


def _operator_command(
    name: str, help_text: str, all_text: str, done_zh: str, done_en: str
) -> click.Command:
    """`hold`, `release` and `cancel` differ by the event alone."""

    @click.command(name, help=help_text)
    @click.argument("idents", nargs=-1, metavar="[ID]...")
    @click.option("--all", "all_", is_flag=True, help=all_text)
    @_choosing
    @click.pass_obj
    def command(
        out: Output,
        idents: tuple[str, ...],
        all_: bool,
        to: str,
        kind: str,
        since: str,
        until: str,
        dry_run: bool,
        per_s: float,
        detach: bool,
        reason: str,
    ) -> None:
        from frontgate.core.lifecycle import TransferEvent
        from frontgate.journal.bulk import Choice
        from frontgate.pipeline import operate

        if bool(idents) == all_ or (idents and dry_run):
            raise click.UsageError("name ids, or --all (with it --to, --type, --since, --until)")
        node = find_node(out)
        if all_:
            choice = Choice(name, to=to, kind=kind, since=since, until=until)
            act_in_bulk(
                out, node, choice, per_s=per_s, dry_run=dry_run, detach=detach, reason=reason
            )
            return
        reason = reason or click.prompt(out.pick("原因", "Reason"))
        done: list[dict[str, Any]] = []
        for ident in idents:
            request = {"act": "change", "id": ident, "event": name}
            reply = node.ask({**request, "actor": actor(), "reason": reason})
            if reply is not None:
                done += reply["done"]
                continue
            with node.journal() as journal:
                done += operate.change(
                    journal, ident, TransferEvent(name), actor=actor(), reason=reason
                )
        out.emit({"done": done}, f"{done_zh} {len(done)} 件", f"{len(done)} {done_en}")

    return command


hold = _operator_command(
    "hold",
    "Keep waiting transfers (id, or MessageId) from being sent, until released.",
    "All that wait.",
    "已暂停",
    "held",
)
release = _operator_command(
    "release", "Let held transfers go on.", "All that are held.", "已放行", "released"
)
cancel = _operator_command(
    "cancel",
    "End waiting or held transfers: their senders get a signed relay-failed with the reason.",
    "All that wait or are held.",
    "已取消",
    "cancelled",
)
