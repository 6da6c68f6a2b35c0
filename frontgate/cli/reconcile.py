"""`frontgate reconcile` and `frontgate hub reconcile`: does every ledger say the same?"""

from __future__ import annotations

import re
import time
from typing import Any

import click

from frontgate.cli.node import Node, find_node
from frontgate.cli.output import Output, say

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
LOOK_S = 0.2


def _day(_: click.Context, __: click.Parameter, value: str) -> str:
    if value and not _DAY.fullmatch(value):
        raise click.BadParameter("2026-11-25")
    return value


@click.command()
@click.option("--day", default="", callback=_day, metavar="D", help="Only this day (UTC+08:00).")
@click.option("--now", is_flag=True, help="Compare now, not only each night.")
@click.option("--wait", "wait_s", default=60.0, show_default=True, help="With --now: seconds.")
@click.pass_obj
def reconcile(out: Output, day: str, now: bool, wait_s: float) -> None:
    """Show how each day came out with the hub, and every gap by its message.

    Exit 0: all agrees. 1: there are gaps. 4: no answer yet.
    """
    node = find_node(out)
    if node.role == "hub":
        raise click.UsageError("frontgate hub reconcile")
    is_late = False
    if now:
        reply = node.ask({"act": "reconcile", "days": [day] if day else []})
        is_late = not _wait(out, node, {"hub": reply["run"]} if reply else None, wait_s)
    _show(out, node, peer="hub", day=day, is_late=is_late)


@click.command("reconcile")
@click.option("--day", default="", callback=_day, metavar="D", help="Only this day (UTC+08:00).")
@click.option("--unit", default="", metavar="U", help="Only the gateway of this unit.")
@click.option("--now", is_flag=True, help="Have the gateways compare now, not only each night.")
@click.option("--wait", "wait_s", default=60.0, show_default=True, help="With --now: seconds.")
@click.pass_obj
def hub_reconcile(out: Output, day: str, unit: str, now: bool, wait_s: float) -> None:
    """Show how each day came out with each gateway, and every gap by its message.

    Exit 0: all agrees. 1: there are gaps. 4: a gateway has not answered yet.
    """
    from frontgate.settings import HubSettings
    from frontgate.trust.store import load_trust

    node = find_node(out)
    if not isinstance(node.settings, HubSettings):
        raise click.UsageError("-c HUB")
    peer = ""
    if unit:
        keys = node.settings.path(node.settings.node.keys)
        known = load_trust(keys / "trust").directory.units.get(unit)
        if known is None:
            raise click.BadParameter(f"FG-RTE-001: {unit}")
        peer = f"account:{known.account}"
    is_late = False
    if now:
        reply = node.ask(
            {"act": "reconcile", "units": [unit] if unit else [], "days": [day] if day else []}
        )
        runs = {f"account:{a}": r for a, r in reply["runs"].items()} if reply else None
        is_late = not _wait(out, node, runs, wait_s)
    _show(out, node, peer=peer, day=day, is_late=is_late)


def _wait(out: Output, node: Node, runs: dict[str, str] | None, wait_s: float) -> bool:
    """Wait until every run came out. Returns: whether all did."""
    from frontgate.errors import JournalError
    from frontgate.journal import reconcile as ledger

    if runs is None:
        raise JournalError("FG-JRN-009")
    reader = node.reader()
    end = time.monotonic() + wait_s
    left = dict(runs)
    while left and time.monotonic() < end:
        for peer, run in list(left.items()):
            states = [state for _, _, state in ledger.run_of(reader, peer, run)]
            if states and "comparing" not in states:
                del left[peer]
        time.sleep(LOOK_S if left else 0)
    reader.close()
    for peer in left if not out.as_json else ():
        out.line(f"✗ {peer} 尚未答复", f"✗ {peer} has not answered yet")
    return not left


def _show(out: Output, node: Node, *, peer: str, day: str, is_late: bool) -> None:
    from frontgate.core.reconcile import CODES
    from frontgate.errors import advise, render
    from frontgate.journal import reconcile as ledger

    reader = node.reader()
    days = ledger.days(reader, peer=peer, day=day)
    gaps: list[dict[str, Any]] = []
    for of_peer, gap in ledger.gaps(reader, peer=peer):
        if day and not gap.bucket.startswith(day):
            continue
        code = CODES[gap.kind]
        shown = gap.as_dict()
        gaps.append(
            {
                "peer": of_peer,
                "code": code,
                **shown,
                "zh": render(code, shown, "zh"),
                "en": render(code, shown, "en"),
                "advice_zh": advise(code, shown, "zh"),
                "advice_en": advise(code, shown, "en"),
            }
        )
    reader.close()
    if out.as_json:
        out.json({"days": days, "gaps": gaps, "complete": not is_late})
    else:
        _print(out, days, gaps)
    if gaps or is_late:
        raise click.exceptions.Exit(1 if gaps else 4)


def _print(out: Output, days: list[dict[str, object]], gaps: list[dict[str, Any]]) -> None:
    states = {
        "agreed": ("一致", "agreed"),
        "comparing": ("核对中", "comparing"),
        "gaps": ("有差异", "gaps"),
    }
    for d in days:
        zh, en = states[str(d["state"])]
        mark = "✗" if d["state"] == "gaps" else " "
        say(
            f"{mark} {d['day']}  {d['direction']:<5} {out.pick(zh, en):<10} {d['count']:>7}"
            f"  {d['peer']}"
        )
    for g in gaps:
        say(f"✗ {g['code']}  {g['message_id']}  {g['sender']} → {g['receiver']}  ({g['since']})")
        say(f"    {out.pick(g['zh'], g['en'])}")
        say(f"    → {out.pick(g['advice_zh'], g['advice_en'])}")
    if not gaps:
        out.line("没有差异", "No gaps")
