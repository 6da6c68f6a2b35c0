"""`frontgate alarms`: what needs somebody, with advice."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from frontgate.cli.node import find_node
from frontgate.cli.output import Output


@click.command()
@click.pass_obj
def alarms(out: Output) -> None:
    """List what needs somebody now. Exit 0: nothing. 1: something.

    JSON: id (stable), code, since, zh, en, advice_zh, advice_en.
    """
    from frontgate.pipeline.alarms import alarms as collect

    node = find_node(out)
    live = node.ask({"act": "status"})
    reader = node.reader()
    try:
        found = collect(node.role, reader, live, datetime.now(UTC))
    finally:
        reader.close()
    if out.as_json:
        out.json(
            [
                {
                    "id": a.id,
                    "code": a.code,
                    "since": a.since,
                    "zh": a.text("zh"),
                    "en": a.text("en"),
                    "advice_zh": a.advice("zh"),
                    "advice_en": a.advice("en"),
                }
                for a in found
            ]
        )
    for a in found if not out.as_json else ():
        click.echo(f"✗ {a.id}  {a.text(out.language)}" + (f"  ({a.since})" if a.since else ""))
        click.echo(f"    → {a.advice(out.language)}")
    if not found and not out.as_json:
        out.line("没有告警", "No alarms")
    if found:
        raise click.exceptions.Exit(1)
