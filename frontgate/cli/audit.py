"""`frontgate audit verify|show`: the append-only chain of everything that happened."""

from __future__ import annotations

import click

from frontgate.cli.node import find_node
from frontgate.cli.output import Output


@click.group()
def audit() -> None:
    """The audit chain of this node."""


@audit.command()
@click.pass_obj
def verify(out: Output) -> None:
    """Walk the whole chain, and compare it with every receipt this node has issued.

    Edit, removal, reorder and truncation are each found. Exit 1 if the chain does not hold.
    """
    from frontgate.journal import audit as chain

    reader = find_node(out).reader()
    walked, breaks = chain.verify(reader)
    reader.close()
    out.emit(
        {"entries": walked, "breaks": [{"seq": b.seq, "what": b.what} for b in breaks]},
        f"审计链 {walked} 条，" + ("完整" if not breaks else f"{len(breaks)} 处断裂"),
        f"Audit chain of {walked} entries: " + ("holds" if not breaks else f"{len(breaks)} breaks"),
    )
    if breaks:
        if not out.as_json:
            for b in breaks[:50]:
                click.echo(f"  {b.seq}: {b.what}")
        raise click.exceptions.Exit(1)


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
