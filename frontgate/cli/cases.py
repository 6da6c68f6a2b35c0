"""`frontgate hub project|rebuild|cases`: the projections, and finding a case."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from frontgate.cli.moments import SPAN, moment_of
from frontgate.cli.output import Output, progress, say
from frontgate.values import asdict

if TYPE_CHECKING:
    from frontgate.cases.read import Cases
    from frontgate.settings import HubSettings
    from frontgate.standard import Standards


def hub_settings(out: Output) -> HubSettings:
    from frontgate.settings import find_config, load_hub

    return load_hub(find_config(out.config, "hub"))


def hub_standards(settings: HubSettings) -> Standards:
    from frontgate.standard import Standards

    folder = settings.node.standards
    return Standards.load(settings.path(folder) if folder else None)


def state_file(settings: HubSettings, name: str) -> Path:
    return settings.path(settings.node.state) / name


def open_cases(settings: HubSettings, standards: Standards) -> Cases:
    """The projections as they are; made first where nothing projects yet."""
    from frontgate.cases.project import Projector
    from frontgate.cases.read import Cases
    from frontgate.cases.rules import CaseRules
    from frontgate.errors import JournalError

    path = state_file(settings, "cases.db")
    try:
        projector = Projector(state_file(settings, "journal.db"), path, standards)
    except JournalError as error:
        if error.code != "FG-JRN-002":  # a running projector keeps it up to date
            raise
    else:
        projector.catch_up()
        projector.close()
    return Cases(path, CaseRules(standards.version(standards.newest)).ties)


@click.command()
@click.option("--once", is_flag=True, help="Project what there is, then end.")
@click.pass_obj
def project(out: Output, once: bool) -> None:
    """Keep the projections up to date, in the foreground; the running hub does so by itself."""
    import threading

    from frontgate.cases.process import serve
    from frontgate.cases.project import Projector
    from frontgate.pipeline.service import set_up_logs

    settings = hub_settings(out)
    standards = hub_standards(settings)
    journal, cases = state_file(settings, "journal.db"), state_file(settings, "cases.db")
    if once:
        projector = Projector(journal, cases, standards)
        try:
            count, cursor = projector.catch_up(), projector.cursor
        finally:
            projector.close()
        out.emit(
            {"events": count, "cursor": cursor},
            f"已处理 {count} 个事件，至第 {cursor} 个",
            f"{count} events projected, up to number {cursor}",
        )
        return
    import signal

    set_up_logs(settings.log.format, settings.log.level)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    serve(journal, cases, standards, stop)


@click.command()
@click.pass_obj
def rebuild(out: Output) -> None:
    """Throw the projections away and make them anew from the journal.

    A running projector does it when asked; the exchange goes on meanwhile.
    """
    from frontgate.cases.process import rebuild_mark
    from frontgate.cases.project import rebuild as anew
    from frontgate.errors import JournalError

    settings = hub_settings(out)
    standards = hub_standards(settings)
    path = state_file(settings, "cases.db")
    began = time.monotonic()
    try:
        count = anew(state_file(settings, "journal.db"), path, standards, _progress(out))
    except JournalError as error:
        if error.code != "FG-JRN-002":
            raise
        mark = rebuild_mark(path)
        mark.touch(mode=0o600)
        while mark.exists():
            time.sleep(0.2)
        count = -1
    seconds = round(time.monotonic() - began, 1)
    out.emit(
        {"events": count if count >= 0 else None, "seconds": seconds},
        f"重建完成，用时 {seconds} 秒",
        f"Rebuilt in {seconds} s",
    )


def _progress(out: Output) -> Callable[[int], None]:
    import sys

    if out.as_json or not sys.stderr.isatty():
        return lambda _: None
    return lambda count: progress(f"{count}")


@click.command()
@click.argument("case_uid", metavar="CASE")
@click.argument("unit", metavar="UNIT")
@click.option("--for", "party", required=True, help="The party that admits the unit, by its code.")
@click.option("--text", default="", help="Why.")
@click.pass_obj
def admit(out: Output, case_uid: str, unit: str, party: str, text: str) -> None:
    """A party of a case confirms that UNIT takes part: it gets a view, its messages count."""
    from frontgate.cli.due import act

    act(out, "admit", case_uid, party, unit, text)


@click.command()
@click.argument("text", default="")
@click.option("--unit", default="", help="Only cases that this unit is a party of.")
@click.option("--stage", default="", help="Only cases in this stage (code of case-stage).")
@click.option(
    "--since",
    default="",
    metavar="TIME",
    callback=moment_of,
    help=f"Last message at or after. {SPAN}.",
)
@click.option(
    "--until",
    default="",
    metavar="TIME",
    callback=moment_of,
    help=f"Last message before. {SPAN}.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="At most so many, newest first.",
)
@click.pass_obj
def cases(
    out: Output, text: str, unit: str, stage: str, since: str, until: str, limit: int
) -> None:
    """Find cases: by CaseUid, number, identity number, or the beginning of a name.

    Exit 1 if there are none. One case's course: frontgate trace CASE
    """
    from frontgate.cases.records import Case
    from frontgate.cli.case_texts import Words, local, pad
    from frontgate.cli.looks import keep_look
    from frontgate.cli.node import hub_node

    settings = hub_settings(out)
    standards = hub_standards(settings)
    words = Words(standards.version(standards.newest), out.language)
    source = open_cases(settings, standards)
    found = list[Case]()
    while len(found) <= limit:
        page = source.find(
            text=text, unit=unit, stage=stage, since=since, until=until,
            before=(found[-1].last_at, found[-1].case_uid) if found else None,
            limit=limit + 1 - len(found),
        )  # fmt: skip
        if not page:
            break
        found += page
    found, is_more = found[:limit], len(found) > limit
    source.close()
    keep_look(
        hub_node(settings), "cases", text=text, unit=unit, stage=stage, since=since, until=until,
        hits=len(found),
    )  # fmt: skip
    if out.as_json:
        out.json({"cases": [asdict(c) for c in found], "more": is_more})
    for c in found if not out.as_json else ():
        mark = (
            "" if c.is_bound else out.pick("（立案单位未出现）", " (its opener was not heard of)")
        )
        say(
            f"{c.case_uid}  {pad(words.code('case-stage', c.stage), 16)}  {local(c.last_at)}  "
            f"{out.pick(f'{c.persons} 人', f'{c.persons} persons')}  {c.name}{mark}"
        )
    if is_more and not out.as_json:
        out.line(
            f"（以上为前 {limit} 件，另有未列出的：加大 --limit 或缩小条件）",
            f"(the first {limit}; there are more: a larger --limit, or a narrower search)",
        )
    if not found:
        raise click.exceptions.Exit(1)
