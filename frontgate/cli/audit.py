"""`frontgate audit verify|show`: the append-only chain of everything that happened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from frontgate.cli.node import find_node
from frontgate.cli.output import Output

if TYPE_CHECKING:
    from frontgate.journal.audit import Examination


@click.group()
def audit() -> None:
    """The audit chain of this node."""


@audit.command()
@click.option(
    "--archives",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Walk the archived part as well: the folder that holds the archive files.",
)
@click.pass_obj
def verify(out: Output, archives: Path | None) -> None:
    """Walk the whole chain, and compare it with every receipt this node has issued.

    Edit, removal, reorder and truncation are each found, and epochs that a restore opened are told.
    Entries that were archived and pruned are walked with --archives; without it the walk begins at the
    newest signed checkpoint. Exit 1 if the chain does not hold. JSON: entries, begins_at, epochs, lost
    (own receipts that name what a restore cut off), breaks.
    """
    from frontgate.pipeline import chains

    node = find_node(out)
    reader = node.reader()
    try:
        found = chains.examine(reader, node.settings.path(node.settings.node.keys), archives)
    finally:
        reader.close()
    value = {
        "entries": found.walked,
        "begins_at": found.begins_at,
        "epochs": [
            {"number": e.number, "first": e.first_seq, "last": e.last_seq} for e in found.epochs
        ],
        "lost": found.lost,
        "breaks": [{"seq": b.seq, "what": b.what} for b in found.breaks],
    }
    broken = len(found.breaks)
    out.emit(
        value,
        f"审计链 {found.walked} 条，" + ("完整" if not broken else f"{broken} 处断裂"),
        f"Audit chain of {found.walked} entries: "
        + ("holds" if not broken else f"{broken} breaks"),
    )
    if not out.as_json:
        _tell_epochs(out, found)
        for b in found.breaks[:50]:
            click.echo(f"  {b.seq}: {b.what}")
    if broken:
        raise click.exceptions.Exit(1)


def _tell_epochs(out: Output, found: Examination) -> None:
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
    from frontgate.journal import audit as chain

    reader = find_node(out).reader()
    links = list(chain.links(reader, after=after, limit=limit))
    reader.close()
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
        click.echo(f"{k.seq:>8}  {k.at}  {k.kind:<16} {k.data}")
