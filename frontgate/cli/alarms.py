"""`frontgate alarms`: what needs somebody, with advice."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from frontgate.cli.node import Node, find_node
from frontgate.cli.output import Output, say
from frontgate.model.unit import Directory

_MARKS = {"critical": "✗✗", "major": "✗", "minor": "!"}


@click.command()
@click.option("--unit", default="", metavar="U", help="At the hub: only what is about this unit.")
@click.pass_obj
def alarms(out: Output, unit: str) -> None:
    """List what needs somebody now. Exit 0: nothing. 1: something.

    JSON: id (stable), code, severity (critical, major, minor), unit, since, zh, en, advice_zh,
    advice_en. `frontgate explain ID` says more of one.
    """
    from frontgate.pipeline.alarms import alarms as collect

    node = find_node(out)
    live = node.ask({"act": "status"})
    reader = node.reader()
    try:
        found = collect(node.role, reader, live, datetime.now(UTC), _directory(node))
    finally:
        reader.close()
    found = [a for a in found if not unit or a.unit == unit]
    if out.as_json:
        out.json([a.as_dict() for a in found])
    for a in found if not out.as_json else ():
        since = f"  ({out.pick('自', 'since')} {a.since})" if a.since else ""
        say(f"{_MARKS[a.severity]} {a.id}  {a.text(out.language)}{since}")
        say(f"    → {a.advice(out.language)}")
    if not found and not out.as_json:
        out.line("没有告警", "No alarms")
    if found:
        raise click.exceptions.Exit(1)


def _directory(node: Node) -> Directory | None:
    """The hub's directory: units that are suspended give no alarm."""
    from frontgate.settings import HubSettings
    from frontgate.trust.store import load_trust

    if not isinstance(node.settings, HubSettings):
        return None
    return load_trust(node.settings.path(node.settings.node.keys) / "trust").directory
