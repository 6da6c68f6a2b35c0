"""`frontgate audit verify|show`: the append-only chain of everything that happened, and whether
what a node holds agrees with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from frontgate.cli.node import find_node
from frontgate.cli.output import Existing, Output, say
from frontgate.values import asdict

if TYPE_CHECKING:
    from frontgate.inspect.examine import Examination
    from frontgate.journal import audit as chain

SHOWN = 20
"""Breaches of one invariant that are printed; --json has more."""


@click.group()
def audit() -> None:
    """The audit chain of this node, and the invariants behind it."""


@audit.command()
@click.argument("homes", nargs=-1, type=click.Path(exists=True))
@click.option("--settled", is_flag=True, help="Nothing may be open or left over any more.")
@click.option(
    "--archives",
    type=Existing(file_okay=False),
    help="Walk the archived part as well: the folder that holds the archive files.",
)
@click.pass_obj
def verify(out: Output, homes: tuple[str, ...], settled: bool, archives: Path | None) -> None:
    """Judge a node from its folders, read-only: its audit chain, and every invariant.

    HOMES: settings files or folders of gateways and hubs; several are held against each other as
    well. Without any, the node of --config.

    The whole chain is walked and compared with every receipt this node has issued: edit, removal,
    reorder and truncation are each found, and epochs that a restore opened are told. Entries that were
    archived and pruned are walked with --archives; without it the walk begins at the newest signed
    checkpoint. Exit 1 if anything is broken; what was not judged is neither broken nor said to hold.
    JSON: nodes, holds, invariants; and of the first node's
    chain entries, begins_at, epochs, lost (own receipts that name what a restore cut off), breaks.
    """
    from frontgate.cli.homes import open_home
    from frontgate.inspect import examine

    opened = [open_home(replace(out, config=path)) for path in homes] or [open_home(out)]
    if archives is not None and len(opened) > 1:
        raise click.UsageError("--archives goes with one node")
    for home in opened:
        home.is_settled = settled
    try:
        found = examine(opened, archives=archives)
    finally:
        for home in opened:
            home.close()
    if out.as_json:
        out.json(_as_json(found))
    else:
        _print(out, found)
    if not found.holds:
        raise click.exceptions.Exit(1)


def _as_json(found: Examination) -> dict[str, object]:
    first = next(iter(found.chains.values()))
    return {
        "nodes": list(found.chains),
        "holds": found.holds,
        "entries": first.walked,
        "begins_at": first.begins_at,
        "epochs": [
            {"number": e.number, "first": e.first_seq, "last": e.last_seq} for e in first.epochs
        ],
        "lost": first.lost,
        "breaks": [{"seq": b.seq, "what": b.what} for b in first.breaks],
        "invariants": [
            {
                "id": f"INV-{v.number}",
                "zh": v.text("zh"),
                "en": v.text("en"),
                "judged": v.is_judged,
                "checked": v.checked,
                "broken": v.broken,
                "breaches": [asdict(breach) for breach in v.breaches],
            }
            for v in found.verdicts
        ],
    }


def _print(out: Output, found: Examination) -> None:
    for v in found.verdicts:
        if not v.is_judged:
            out.line(
                f"– INV-{v.number:<3} 未判断（须用 --settled）  {v.text('zh')}",
                f"– INV-{v.number:<3} not judged (that takes --settled)  {v.text('en')}",
            )
            continue
        mark = "✓" if v.holds else "✗"
        out.line(
            f"{mark} INV-{v.number:<3} 核对 {v.checked:>8}  不符 {v.broken:>4}  {v.text('zh')}",
            f"{mark} INV-{v.number:<3} checked {v.checked:>8}  broken {v.broken:>4}  {v.text('en')}",
        )
        for breach in v.breaches[:SHOWN]:
            say(f"    {breach.node} {breach.ident}: {out.pick(breach.zh, breach.en)}")
    for node, walked in found.chains.items():
        broken = len(walked.breaks)
        out.line(
            f"{node} 审计链 {walked.walked} 条，" + ("完整" if not broken else f"{broken} 处断裂"),
            f"{node}: audit chain of {walked.walked} entries: "
            + ("holds" if not broken else f"{broken} breaks"),
        )
        _tell_epochs(out, walked)


def _tell_epochs(out: Output, found: chain.Examination) -> None:
    if found.begins_at > 1:
        out.line(
            f"  从第 {found.begins_at} 条的签名检查点开始；更早的在归档文件中（--archives）",
            f"  from the signed checkpoint before entry {found.begins_at}; what is older is archived"
            " (--archives)",
        )
    for epoch in found.epochs[1:]:
        out.line(
            f"  第 {epoch.first_seq} 条：恢复后开启新纪元 {epoch.number}",
            f"  entry {epoch.first_seq}: a restore opened epoch {epoch.number}",
        )
    if found.lost:
        out.line(
            f"  恢复前的 {found.lost} 条记录已不在，由他方持有的回执证明",
            f"  {found.lost} entries from before a restore are gone; receipts that others held prove them",
        )


@audit.command()
@click.option("--after", default=0, help="Begin after this entry.")
@click.option("--limit", default=50, show_default=True)
@click.pass_obj
def show(out: Output, after: int, limit: int) -> None:
    """Show entries in order."""
    from frontgate.cli.looks import keep_look
    from frontgate.journal import audit as chain

    node = find_node(out)
    reader = node.reader()
    links = list(chain.links(reader, after=after, limit=limit))
    reader.close()
    keep_look(node, "audit", after=after, hits=len(links))
    if out.as_json:
        out.json(
            {
                "entries": [
                    {"seq": k.seq, "at": k.at, "kind": k.kind, "data": k.data, "head": k.head}
                    for k in links
                ]
            }
        )
        return
    for k in links:
        say(f"{k.seq:>8}  {k.at}  {k.kind:<16} {k.data}")
