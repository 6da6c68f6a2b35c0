"""`frontgate check`: the production checks offline, for those who write case software."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from lxml import etree

from frontgate.cli.known_units import KnownUnits, known_units
from frontgate.cli.output import LINES, Existing, Output, say
from frontgate.core.visible import shown
from frontgate.errors import FrontgateError
from frontgate.model.finding import Finding
from frontgate.model.message import Header
from frontgate.standard import Checker, Standards, explain_xml
from frontgate.standard.addressing import check_parties
from frontgate.standard.drops import Drop, find_drops, read_drop


class Result:
    """One input and what the checks say of it."""

    def __init__(
        self,
        path: Path,
        header: Header | None,
        findings: Sequence[Finding],
        notes: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.path = path
        self.notes = tuple(notes)
        self.standard = header.standard if header is not None else ""
        self.message_type = header.message_type if header is not None else ""
        self.message_id = header.message_id if header is not None else ""
        self.findings = tuple(findings)

    @property
    def is_refused(self) -> bool:
        return any(f.severity.refuses for f in self.findings)

    def as_dict(self) -> dict[str, object]:
        return {
            "path": str(self.path),
            "refused": self.is_refused,
            "message_type": self.message_type,
            "message_id": self.message_id,
            "findings": [f.as_dict() for f in self.findings],
            "notes": [{"zh": zh, "en": en} for zh, en in self.notes],
        }


UNKNOWN_UNITS = (
    "没有单位目录：收件单位和发件单位只检查了代码格式与校验码，没有查找是否存在、能否收件。"
    "请加 -c 前置机配置，或 --units units.csv（前置机的 reference/units.csv）。",
    "No unit directory: sender and receivers were judged by form and check character only, not looked"
    " up. Give -c SETTINGS of a gateway, or --units units.csv (reference/units.csv of a gateway).",
)
UNKNOWN_HOME = (
    "发件单位是否为本单位没有检查：请加 --unit 本单位代码。",
    "Whether the sender is your own unit was not judged: give --unit CODE.",
)
ALONE = (
    "只给了 message.xml，其附件不在旁边：加 --message-only 可只检查报文；连同附件检查请给文件夹或 ZIP。",
    "Only message.xml was given, without its files: --message-only judges the message alone; give the"
    " folder or ZIP to judge it with them.",
)
LATER = (
    "结构有误时，代码、业务规则和文书还没有检查：改正后请再检查一次。",
    "While the structure is wrong, codes, rules and documents are not judged yet: mend it, check again.",
)
"""What was not judged, zh and en: `Result.notes`."""


@click.command()
@click.argument("paths", nargs=-1, required=True, type=Existing(), metavar="PATH…")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "junit"]),
    help="How to print the report (default: text; json with --json).",
)
@click.option(
    "--message-only", is_flag=True, help="Judge message.xml alone, not the files beside it."
)
@click.option(
    "--units",
    "table",
    type=Existing(dir_okay=False),
    help="Look sender and receivers up in this units.csv (else in the directory of -c SETTINGS).",
)
@click.option(
    "--unit", default="", metavar="CODE", help="The unit whose outbound/ would take the drops."
)
@click.option("--explain", is_flag=True, help="Add a second schema processor's reasons (slower).")
@click.option(
    "--standards",
    "root",
    type=Existing(file_okay=False),
    help="Folder of the standard, instead of the installed one.",
)
@click.pass_obj
def check(
    out: Output,
    paths: tuple[Path, ...],
    form: str | None,
    message_only: bool,
    table: Path | None,
    unit: str,
    explain: bool,
    root: Path | None,
) -> None:
    """Check drops as the gateway would: XML files, ZIPs, folders, or folders of these.

    With a gateway's settings (-c) or --units, sender and receivers are looked up as well; without,
    only the form of their codes is judged, and the report says so. Nothing is sent or changed.
    Exit code: 0 all would be accepted, 1 something would be refused, 2 nothing to check.
    JSON: refused, checked, directory, results (findings; notes: what was not judged).
    """
    known = known_units(out, table, unit)
    standards = Standards.load(root)
    checker = Checker(standards)
    chosen = form or ("json" if out.as_json else "text")
    results: list[Result] = []
    for drop_path in (d for path in paths for d in find_drops(path)):
        try:
            drop = read_drop(drop_path)
        except OSError as error:
            raise click.UsageError(f"{drop_path}: {error.strerror}") from None
        result = _judge(standards, checker, drop, message_only, known)
        results.append(result)
        if chosen == "text":
            _print_text(out, result, _reasons(standards, drop, result) if explain else ())
    if not results:
        raise click.UsageError(
            out.pick("没有可检查的投放内容。", "There is nothing to check there.")
        )
    refused = sum(r.is_refused for r in results)
    if chosen == "json":
        out.json(
            {
                "refused": refused,
                "checked": len(results),
                "directory": known.source if known is not None else None,
                "results": [r.as_dict() for r in results],
            }
        )
    elif chosen == "junit":
        say(_junit(out, results), keep=LINES)
    else:
        out.line(
            f"共检查 {len(results)} 件，可受理 {len(results) - refused} 件，将被拒收 {refused} 件。",
            f"Checked {len(results)}: {len(results) - refused} would be accepted, {refused} refused.",
        )
        if known is not None:
            out.line(f"单位依据：{known.source}", f"Units: {known.source}")
        for note in (UNKNOWN_UNITS, UNKNOWN_HOME):
            if any(note in r.notes for r in results):
                out.line(*note)
    raise click.exceptions.Exit(1 if refused else 0)


def _judge(
    standards: Standards,
    checker: Checker,
    drop: Drop,
    message_only: bool,
    known: KnownUnits | None,
) -> Result:
    if drop.data is None:
        return Result(drop.path, None, drop.findings)
    checked = checker.check(drop.data, files=None if message_only else drop.files)
    found = [*drop.findings, *checked.report.findings]
    if checked.view is None or checked.root is None:
        return Result(drop.path, None, found)
    if known is not None:
        refused = any(f.severity.refuses for f in found)
        found += check_parties(
            standards, checked.root, checked.view, known.directory, known.homes, refused=refused
        )
    return Result(drop.path, checked.view.header, found, tuple(_notes(drop, found, known)))


def _notes(
    drop: Drop, found: Sequence[Finding], known: KnownUnits | None
) -> Iterator[tuple[str, str]]:
    rules = {f.rule for f in found if f.severity.refuses}
    if any(rule.startswith("FG-XSD-") for rule in rules):
        yield LATER
    if drop.is_alone and "FG-DOC-002" in rules:
        yield ALONE
    if known is None:
        yield UNKNOWN_UNITS
    elif not known.homes:
        yield UNKNOWN_HOME


def _reasons(standards: Standards, drop: Drop, result: Result) -> tuple[str, ...]:
    """xmlschema's sentences, where the schema refused a message of a known type."""
    if drop.data is None or not any(f.rule.startswith("FG-XSD-") for f in result.findings):
        return ()
    try:
        catalogue = standards.version(result.standard)
        flow = catalogue.step(result.message_type).flow
    except FrontgateError:
        return ()  # of unknown kind: said by a finding
    return tuple(f"{r.path}: {r.text}" for r in explain_xml(catalogue, flow, drop.data))


def _print_text(out: Output, result: Result, reasons: Sequence[str]) -> None:
    verdict = out.pick("将被拒收", "refused") if result.is_refused else out.pick("可受理", "ok")
    kind = f" [{shown(result.message_type)}]" if result.message_type else ""
    say(f"{shown(str(result.path))}{kind}: {verdict}")
    for line in _lines(out, result.findings):
        say(line)
    for reason in reasons:
        say(f"  · {shown(reason)}")
    for zh, en in result.notes:
        if (zh, en) not in (UNKNOWN_UNITS, UNKNOWN_HOME):  # said once, at the end
            say(f"  ※ {out.pick(zh, en)}")


def _lines(out: Output, findings: Sequence[Finding]) -> Iterator[str]:
    for f in findings:
        place = f"{f.file}:{f.line}" if f.line is not None else f.file
        yield f"  {shown(place)}  {f.rule}  {f.severity.value}"
        yield f"    {shown(out.pick(f.zh, f.en))}"
        if f.xpath:
            yield f"    XPath: {shown(f.xpath)}"
        if f.value:
            yield f"    {out.pick('值', 'value')}: {shown(f.value)}"
        if f.basis:
            yield f"    {out.pick('依据', 'basis')}: {shown(f.basis)}"
        advice = out.pick(f.advice_zh, f.advice_en)
        if advice:
            yield f"    → {advice}"


def _junit(out: Output, results: Sequence[Result]) -> str:
    """One test case an input, in the JUnit form that build servers read."""
    suite = etree.Element(
        "testsuite",
        name="frontgate check",
        tests=str(len(results)),
        failures=str(sum(r.is_refused for r in results)),
    )
    for result in results:
        case = etree.SubElement(
            suite,
            "testcase",
            name=shown(str(result.path)),
            classname=shown(result.message_type) or "-",
        )
        text = "\n".join(_lines(out, result.findings))
        if result.is_refused:
            first = next(f for f in result.findings if f.severity.refuses)
            failure = etree.SubElement(
                case, "failure", type=first.rule, message=shown(out.pick(first.zh, first.en))
            )
            failure.text = text
        told = "\n".join((text, *(out.pick(zh, en) for zh, en in result.notes))).strip("\n")
        if told and not result.is_refused:
            etree.SubElement(case, "system-out").text = told
    return etree.tostring(suite, encoding="unicode", pretty_print=True)
