"""`frontgate check`: the production checks offline, for those who write case software."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from lxml import etree

from frontgate.cli.output import LINES, Output, say
from frontgate.core.visible import shown
from frontgate.errors import FrontgateError
from frontgate.model.finding import Finding
from frontgate.model.message import Header
from frontgate.standard import Checker, Standards, explain_xml
from frontgate.standard.drops import Drop, find_drops, read_drop


class Result:
    """One input and what the checks say of it."""

    def __init__(self, path: Path, header: Header | None, findings: Sequence[Finding]) -> None:
        self.path = path
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
        }


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH…"
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "junit"]),
    help="How to print the report (default: text; json with --json).",
)
@click.option(
    "--message-only", is_flag=True, help="Judge message.xml alone, not the files beside it."
)
@click.option("--explain", is_flag=True, help="Add a second schema processor's reasons (slower).")
@click.option(
    "--standards",
    "root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the standard, instead of the installed one.",
)
@click.pass_obj
def check(
    out: Output,
    paths: tuple[Path, ...],
    form: str | None,
    message_only: bool,
    explain: bool,
    root: Path | None,
) -> None:
    """Check drops as the gateway would: XML files, ZIPs, folders, or folders of these.

    Nothing is sent or changed. Exit code: 0 all would be accepted, 1 something would be refused,
    2 nothing to check.
    """
    standards = Standards.load(root)
    checker = Checker(standards)
    chosen = form or ("json" if out.as_json else "text")
    results: list[Result] = []
    for drop_path in (d for path in paths for d in find_drops(path)):
        try:
            drop = read_drop(drop_path)
        except OSError as error:
            raise click.UsageError(f"{drop_path}: {error.strerror}") from None
        result = _judge(checker, drop, message_only)
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
            {"refused": refused, "checked": len(results), "results": [r.as_dict() for r in results]}
        )
    elif chosen == "junit":
        say(_junit(out, results), keep=LINES)
    else:
        out.line(
            f"共检查 {len(results)} 件，可受理 {len(results) - refused} 件，将被拒收 {refused} 件。",
            f"Checked {len(results)}: {len(results) - refused} would be accepted, {refused} refused.",
        )
    raise click.exceptions.Exit(1 if refused else 0)


def _judge(checker: Checker, drop: Drop, message_only: bool) -> Result:
    if drop.data is None:
        return Result(drop.path, None, drop.findings)
    checked = checker.check(drop.data, files=None if message_only else drop.files)
    header = checked.view.header if checked.view is not None else None
    return Result(drop.path, header, (*drop.findings, *checked.report.findings))


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
        elif text:
            etree.SubElement(case, "system-out").text = text
    return etree.tostring(suite, encoding="unicode", pretty_print=True)
