"""`frontgate hub stats`: counts, on-time rates, refusals; as text, JSON, CSV, XLSX; publishing a month."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from frontgate.cli.cases import hub_settings, hub_standards, open_cases, state_file
from frontgate.cli.output import Output, say

TABLES = ("flows", "exchanges", "outcomes", "on-time", "rejects")


@click.group(invoke_without_command=True)
@click.option("--table", type=click.Choice(TABLES), default="flows", show_default=True)
@click.option(
    "--by",
    default="",
    help="For exchanges: month,flow,step,unit,prefecture; for on-time: one of rule,unit,prefecture,flow,month.",
)
@click.option("--since", default="", metavar="MONTH", help="First month, as 2026-10.")
@click.option("--until", default="", metavar="MONTH", help="Last month.")
@click.option("--unit", default="", help="Only this unit.")
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the table as CSV.",
)
@click.option(
    "--xlsx",
    "xlsx_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all tables as XLSX.",
)
@click.pass_context
def stats(
    ctx: click.Context, table: str, by: str, since: str, until: str, unit: str,
    csv_file: Path | None, xlsx_file: Path | None,
) -> None:  # fmt: skip
    """Statistics of the exchange. Rows are the same in every form."""
    if ctx.invoked_subcommand is not None:
        return
    out: Output = ctx.obj
    from frontgate import clock, durable
    from frontgate.cases import sheets
    from frontgate.cases import stats as counts
    from frontgate.cli.looks import keep_look
    from frontgate.cli.node import hub_node

    settings = hub_settings(out)
    standards = hub_standards(settings)
    catalogue = standards.version(standards.newest)
    source = open_cases(settings, standards)
    reader, now = source.reader, clock.now()
    span = {"since": since, "until": until}

    def rows_of(name: str) -> list[dict[str, Any]]:
        if name == "flows":
            return counts.seed_table(reader, catalogue, **span)
        if name == "exchanges":
            return counts.exchanges(
                reader, tuple((by or "month,flow").split(",")), **span, unit=unit
            )
        if name == "outcomes":
            return counts.outcomes(reader, catalogue, **span, unit=unit)
        if name == "on-time":
            return counts.on_time(reader, now, by or "rule", **span, unit=unit)
        return counts.rejects(reader, **span, unit=unit)

    try:
        rows = rows_of(table)
        book = (
            [(name, rows if name == table else rows_of(name)) for name in TABLES]
            if xlsx_file
            else []
        )
    except KeyError as error:
        raise click.UsageError(f"--by {error}") from None
    finally:
        source.close()
    keep_look(hub_node(settings), "statistics", table=table, by=by, unit=unit, **span)
    if csv_file:
        durable.write_file(csv_file, sheets.to_csv(rows), 0o644)
    if xlsx_file:
        durable.write_file(xlsx_file, sheets.to_xlsx(book), 0o644)
    if out.as_json:
        out.json({"table": table, "rows": rows})
        return
    if table == "flows":
        from frontgate.cli.history import show_table

        show_table(out, rows)
        return
    if rows:
        say("\t".join(rows[0]))
    for row in rows:
        say("\t".join("-" if v is None else str(v) for v in row.values()))


@stats.command()
@click.argument("month")
@click.pass_obj
def publish(out: Output, month: str) -> None:
    """Publish MONTH (as 2026-10) as a signed sheet; again later: what has changed, as a correction."""
    from frontgate.cases.publish import Publisher
    from frontgate.cli.node import actor, hub_node
    from frontgate.suites import load_signer

    settings = hub_settings(out)
    standards = hub_standards(settings)
    open_cases(settings, standards).close()
    node = hub_node(settings)
    reply = node.ask({"act": "stats-publish", "month": month, "actor": actor()})
    if reply is None:
        keys = settings.path(settings.node.keys)
        signer = load_signer(keys / "hub.key", keys / "hub.pem", settings.unit)
        with node.journal() as journal:
            publisher = Publisher(
                journal, state_file(settings, "cases.db"), state_file(settings, "published"), signer, standards
            )  # fmt: skip
            reply = publisher.publish(month, actor=actor())
    value = {k: reply[k] for k in ("path", "digest", "number", "changes")}
    if not reply["path"]:
        out.emit(value, f"{month} 无变化，未发更正", f"{month} has not changed: no correction")
        return
    out.emit(
        value,
        f"已发布 {reply['path']}（SHA-256 {reply['digest']}）",
        f"Published {reply['path']} (SHA-256 {reply['digest']})",
    )
