"""`frontgate hub replay-history`: the seed's two years through a hub, in accelerated time."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import click

from frontgate.cli.output import Output, progress, say
from frontgate.values import asdict


@click.command("replay-history")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--share", default="1", show_default=True, help="Part of the counts, as 1/100.")
@click.option("--begin", type=click.DateTime(["%Y-%m-%d"]), help="First day; else the seed's own.")
@click.option(
    "--answers", default=0.0, show_default=True, help="Share of exchanges that are accepted."
)
@click.option("--seed", default=1, show_default=True, help="Of the generator: the same run again.")
@click.option("--rebuild", is_flag=True, help="Also throw the projections away and rebuild them.")
@click.pass_obj
def replay_history(
    out: Output,
    directory: Path,
    share: str,
    begin: datetime | None,
    answers: float,
    seed: int,
    rebuild: bool,
) -> None:
    """Play the seed platform's two years into a new hub below DIRECTORY, and show its table.

    500 and more units, real seals and receipts, the hub's own checks, ledger and projections; only
    the clock is virtual. The counts of flows are exact; flows that the seed names without a number
    share the rest of its total evenly, and the table says so.
    """
    from frontgate.cases.read import Cases
    from frontgate.cases.stats import seed_table
    from frontgate.errors import SettingsError
    from frontgate.hub.history.plan import read_volumes, scaled
    from frontgate.hub.history.play import play
    from frontgate.log import structlog
    from frontgate.standard import Standards

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        part = Fraction(share)
        if not 0 < part <= 1:
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise click.UsageError(f"--share {share}: a number above 0 and up to 1, as 1/100") from None
    if directory.exists() and any(directory.iterdir()):
        raise SettingsError("FG-CFG-001", path=str(directory), detail="the folder is not empty")
    volumes = read_volumes()
    standards = Standards.load()
    figures = play(
        directory, volumes, standards, share=part, begin=begin.date() if begin else None,
        answers=answers, seed=seed, with_rebuild=rebuild, said=_progress(out),
    )  # fmt: skip
    source = Cases(directory / "hub" / "state" / "cases.db")
    catalogue = standards.version(standards.newest)
    wanted = scaled(volumes.counts, part)
    table = seed_table(source.reader, catalogue, spread=volumes.spread)
    source.close()
    agrees = {r["flow"]: r["exchanges"] for r in table if r["flow"]} == wanted
    if out.as_json:
        out.json({"figures": asdict(figures), "agrees": agrees, "table": table})
    else:
        show_table(out, table)
        f = figures
        out.line(
            f"{f.units} 个单位，{f.messages} 件报文与 {f.receipts} 份回执；核验、入账并入案件视图 {f.whole_s} 秒"
            f"（入账 {f.ledger_s} 秒；处理器：入账 {f.ledger_cpu_s} 秒，视图 {f.project_cpu_s} 秒），重建 {f.rebuild_s} 秒",
            f"{f.units} units, {f.messages} messages and {f.receipts} receipts; verified, in the ledger and projected "
            f"in {f.whole_s} s (ledger {f.ledger_s} s; processor: ledger {f.ledger_cpu_s} s, projections "
            f"{f.project_cpu_s} s), rebuilt in {f.rebuild_s} s",
        )
    if not agrees:
        raise click.exceptions.Exit(1)


def show_table(out: Output, table: list[dict[str, object]]) -> None:
    """The table of exchanges by flow, with its total and the note on the spread remainder."""
    from frontgate.cli.case_texts import pad

    for r in table:
        name = str(r["zh"]) if out.language == "zh" else str(r["en"])
        mark = "*" if r["is_spread"] else " "
        say(f"{r['exchanges']:>9}{mark} {pad(str(r['number']), 5)}{name}")
    if any(r["is_spread"] for r in table):
        out.line(
            "* 来源只列名称、未列数量的流程：平均分摊总数的余额",
            "* named by the source without a number: the rest of the total, spread evenly",
        )


def _progress(out: Output) -> Callable[[int, int], None]:
    if out.as_json or not sys.stderr.isatty():
        return lambda *_: None
    return lambda done, all_: progress(f"{done}/{all_}")
