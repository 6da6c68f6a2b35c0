"""`frontgate status`: is it running, what waits, what is wrong and what to do about it."""

from __future__ import annotations

from typing import Any

import click

from frontgate.cli.node import find_node
from frontgate.cli.output import Output, say
from frontgate.errors import all_codes


@click.command()
@click.pass_obj
def status(out: Output) -> None:
    """Show queues by destination and age, links, troubles with advice.

    JSON: role, running, live (pid, links, troubles, waiting…), queues, totals, quarantine.
    Exit 1 if the daemon is not running or something is wrong.
    """
    from frontgate.journal import views

    node = find_node(out)
    live = node.ask({"act": "status"})
    reader = node.reader()
    value: dict[str, Any] = {
        "role": node.role,
        "running": live is not None,
        "live": {k: v for k, v in (live or {}).items() if k != "ok"},
        "queues": views.queues(reader),
        "totals": views.totals(reader),
        "quarantine": views.quarantined(reader, 10),
    }
    reader.close()
    if out.as_json:
        out.json(value)
    else:
        _show(out, value)
    if live is None or live.get("troubles"):
        raise click.exceptions.Exit(1)


def _show(out: Output, value: dict[str, Any]) -> None:
    live = value["live"]
    if value["running"]:
        out.line(
            f"{value['role']} 正在运行（进程 {live['pid']}，版本 {live['version']}）",
            f"{value['role']} is running (process {live['pid']}, version {live['version']})",
        )
    else:
        out.line(
            f"{value['role']} 没有运行：frontgate run 或 systemctl start",
            f"{value['role']} is not running: frontgate run, or systemctl start",
        )
    for where, code in live.get("troubles", {}).items():
        row = all_codes()[code]
        told = live.get("said", {}).get(where) or {"zh": row.zh, "en": row.en}
        say(f"✗ {where}: {code} {out.pick(told['zh'], told['en'])}")
        say(f"    → {out.pick(row.advice_zh, row.advice_en)}")
    _show_resync(out, live.get("resync", {}))
    if not value["queues"]:
        out.line("没有等待中的传输", "Nothing is waiting")
    for row in value["queues"]:
        say(
            f"  {row['destination']:<28} {out.word('state', row['state'], 22)} {row['count']:>7}  {row['oldest']}"
        )
    shown = "  ".join(f"{k}={v}" for k, v in value["totals"].items())
    out.line(f"累计：{shown}", f"Totals: {shown}")
    for key, rows in live.get("waiting", {}).items():
        for row in rows[:20]:
            say(f"  {key} outbound/{row['name']}: {row['why']}")


def _show_resync(out: Output, told: dict[str, Any]) -> None:
    """After a restore: what was asked of whom, and whether the gap is closed."""
    for row in told.get("peers", ()):
        if row["side"] == "served":
            continue
        zh = "已补齐" if row["state"] == "closed" else "等待回答"
        en = "gap closed" if row["state"] == "closed" else "waiting for its answer"
        out.line(
            f"  与 {row['peer']} 对账：{zh}（回执 {row['receipts']}，报文包 {row['packages']}，"
            f"缺 {row['missing']}）",
            f"  resynchronised with {row['peer']}: {en} ({row['receipts']} receipts,"
            f" {row['packages']} packages, {row['missing']} missing)",
        )
    missing = told.get("missing", ())
    if missing:
        shown = ", ".join(missing[:10])
        out.line(f"  尚缺报文包：{shown}", f"  packages not back yet: {shown}")
