"""`frontgate sample` and `frontgate standard`: the standard, for people who write case software."""

from __future__ import annotations

import difflib
from pathlib import Path

import click
from lxml import etree

from frontgate.cli.moments import SPAN, moment_of
from frontgate.cli.output import Existing, Output, say
from frontgate.errors import CatalogueError
from frontgate.model.finding import finding_of
from frontgate.standard import Catalogue, Checker, Flow, Standards
from frontgate.standard.compare import compare
from frontgate.standard.export import step_data
from frontgate.standard.fields import fields_of
from frontgate.standard.handbook import write_handbook
from frontgate.standard.samples import BREAKS, pick, samples_of_flow, write_drop
from frontgate.values import asdict

_ROOT = click.option(
    "--standards",
    "root",
    type=Existing(file_okay=False),
    help="Folder of the standard, instead of the installed one.",
)
_VERSION = click.option("--version", "version", metavar="V", help="Version; else the newest.")


def _catalogue(root: Path | None, version: str | None) -> tuple[Standards, Catalogue]:
    standards = Standards.load(root)
    return standards, standards.version(version or standards.newest)


def _usage(out: Output, error: CatalogueError) -> click.UsageError:
    """An unknown type or sample is a slip in the call: exit code 2, not 3."""
    return click.UsageError(f"{error.code}: {error.message(out.language)}")


@click.command()
@click.argument("message_type", required=False, metavar="TYPE")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where the drop's folder is made; else here.",
)
@click.option("--invalid", metavar="RULE", default="", help="A sample that breaks this rule.")
@click.option("--list", "list_", is_flag=True, help="List the samples (of TYPE, or of all).")
@click.option("--plain", is_flag=True, help="Without the comments that explain each element.")
@_ROOT
@_VERSION
@click.pass_obj
def sample(
    out: Output,
    message_type: str | None,
    output: Path,
    invalid: str,
    list_: bool,
    plain: bool,
    root: Path | None,
    version: str | None,
) -> None:
    """Write a sample message with its files, as a folder that can be dropped into outbound/."""
    standards, catalogue = _catalogue(root, version)
    if list_:
        _list_samples(out, catalogue, message_type)
        return
    if message_type is None:
        raise click.UsageError(
            out.pick(
                "请给出报文类型，或用 --list 列出样例。", "Name a message type, or use --list."
            )
        )
    try:
        chosen = pick(catalogue, message_type, invalid)
    except CatalogueError as error:
        raise _usage(out, error) from None
    broken = invalid if invalid in BREAKS else ""
    try:
        folder = write_drop(
            chosen, Checker(standards), output, broken, catalogue=None if plain else catalogue
        )
    except FileExistsError as error:
        raise click.UsageError(
            out.pick(f"{error.filename} 已存在。", f"{error.filename} is there already.")
        ) from None
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    out.emit(
        {
            "folder": str(folder),
            "sample": chosen.name,
            "message_type": chosen.message_type,
            "breaks": chosen.rule or broken,
            "files": files,
        },
        f"已写入 {folder}（{chosen.message_type}，{len(files)} 个文件）",
        f"Wrote {folder} ({chosen.message_type}, {len(files)} files)",
    )


def _list_samples(out: Output, catalogue: Catalogue, message_type: str | None) -> None:
    rows: list[dict[str, str]] = []
    for name in catalogue.flow_names:
        if message_type is not None and message_type.partition(".")[0] != name:
            continue
        rows += [
            {"message_type": s.message_type, "sample": s.name, "breaks": s.rule}
            for s in samples_of_flow(catalogue, name)
            if message_type in (None, name, s.message_type)
        ]
    if out.as_json:
        out.json(rows)
        return
    for row in rows:
        suffix = f"  --invalid {row['breaks']}" if row["breaks"] else ""
        say(f"{row['message_type'] or '-':36} {row['sample']}{suffix}")
    for rule, (zh, en) in BREAKS.items():
        say(f"{'*':36} {out.pick(zh, en)}  --invalid {rule}")


@click.group()
def standard() -> None:
    """The exchange standard: message types, their fields, a handbook, differences of versions."""


@standard.command("try")
@click.argument("version", metavar="VERSION")
@click.argument("paths", nargs=-1, required=True, type=Existing())
@_ROOT
@click.pass_obj
def try_(out: Output, version: str, paths: tuple[Path, ...], root: Path | None) -> None:
    """Check archived messages against another VERSION and name those that would fail.

    PATH: a node's home (all that its journal holds), or files and folders with packages (.asice) and
    messages (.xml). Exit 1 if any would fail. JSON: tried, failing (message, type, place, findings).
    """
    from frontgate import safexml
    from frontgate.cli.archive import messages_in
    from frontgate.errors import FrontgateError
    from frontgate.standard.view import read_view

    standards, _ = _catalogue(root, version)
    checker = Checker(standards)
    tried, failing = 0, []
    for place, data in messages_in(paths):
        tried += 1
        try:
            tree = safexml.parse(data)
            view = read_view(tree)
            tree.set("standard", version)
            report = checker.check(etree.tostring(tree, encoding="UTF-8"), files=None).report
            found = [f for f in report.findings if f.severity.refuses]
            ident, kind = view.header.message_id, view.header.message_type
        except FrontgateError as error:
            found, ident, kind = [finding_of(error)], "", ""
        if found:
            failing.append(
                {
                    "message": ident,
                    "type": kind,
                    "place": place,
                    "findings": [f.as_dict() for f in found],
                }
            )
            if not out.as_json:
                say(f"✗ {ident or place}  {kind}")
                for f in found:
                    say(f"    {f.rule} {f.xpath}: {out.pick(f.zh, f.en)}")
    out.emit(
        {"version": version, "tried": tried, "failing": failing},
        f"已试 {tried} 份报文：{len(failing)} 份不符合 {version}",
        f"Tried {tried} messages: {len(failing)} would fail under {version}",
    )
    if failing:
        raise click.exceptions.Exit(1)


@standard.command("due")
@click.argument("rule_id", metavar="RULE")
@click.option(
    "--start",
    required=True,
    metavar="TIME",
    callback=moment_of,
    help=f"When the term opens. {SPAN}.",
)
@click.option("--in-custody", is_flag=True, help="The person is in custody.")
@_ROOT
@_VERSION
@click.pass_obj
def due_(
    out: Output, rule_id: str, start: str, in_custody: bool, root: Path | None, version: str | None
) -> None:
    """When a deadline ends: RULE as DL-ARR-01. JSON: rule, basis, terms with due and safe_due."""
    from datetime import datetime, timedelta

    from frontgate.core.deadlines import LEGAL_TIME, follow
    from frontgate.standard.export import limit_text

    _, catalogue = _catalogue(root, version)
    rule = catalogue.deadlines.get(rule_id)
    if rule is None:
        raise click.UsageError(out.pick(f"没有规则 {rule_id}", f"there is no rule {rule_id}"))
    begun = datetime.fromisoformat(start).astimezone(LEGAL_TIME)
    rows = []
    for term in rule.terms:
        for name, limit in [("", term.limit), *((v.name, v.limit) for v in term.variants)]:
            timer = follow(
                begun, limit, [], catalogue.calendar,
                now=begun, custody=term.custody, in_custody=in_custody,
            )  # fmt: skip
            rows.append(
                {
                    "part": term.part,
                    "variant": name,
                    "limit": limit_text(limit, out.language),
                    "due": timer.due.isoformat(),
                    "last_day": (timer.due - timedelta(microseconds=1)).date().isoformat(),
                    "safe_due": timer.safe_due.isoformat(),
                    "is_estimated": timer.is_estimated,
                }
            )
    if out.as_json:
        out.json({"rule": rule.id, "basis": list(rule.basis), "terms": rows})
        return
    say(f"{rule.id} {out.pick(rule.zh, rule.en)}  {'；'.join(rule.basis)}")
    for row in rows:
        label = " ".join(str(x) for x in (row["part"], row["variant"]) if x)
        note = out.pick("（该年日历未知，估算）", " (calendar unknown, estimated)")
        say(
            f"  {label:<18} {row['limit']:<14} → {row['last_day']}{note if row['is_estimated'] else ''}"
        )


@standard.command("list")
@_ROOT
@_VERSION
@click.pass_obj
def list_(out: Output, root: Path | None, version: str | None) -> None:
    """List flows and their message types."""
    standards, catalogue = _catalogue(root, version)
    flows = [catalogue.flow(name) for name in catalogue.flow_names]
    if out.as_json:
        out.json(
            {
                "version": catalogue.version,
                "versions": list(standards.versions),
                "flows": [_flow_dict(flow) for flow in flows],
            }
        )
        return
    out.line(f"标准 {catalogue.version}", f"Standard {catalogue.version}")
    for flow in flows:
        say()
        say(f"{flow.number:4} {flow.name}  {out.pick(flow.zh, flow.en)}")
        for step in flow.steps.values():
            route = f"{'+'.join(step.from_roles)} → {'+'.join(step.to_roles)}"
            say(f"     {step.message_type:34} {out.pick(step.zh, step.en)}  ({route})")


def _flow_dict(flow: Flow) -> dict[str, object]:
    return {
        "name": flow.name,
        "number": flow.number,
        "zh": flow.zh,
        "en": flow.en,
        "law": list(flow.law),
        "message_types": [s.message_type for s in flow.steps.values()],
    }


@standard.command()
@click.argument("name", required=False, metavar="LIST")
@click.argument("text", required=False, default="")
@_ROOT
@_VERSION
@click.pass_obj
def codes(out: Output, name: str | None, text: str, root: Path | None, version: str | None) -> None:
    """Show the codes of a list, those that hold TEXT in code or name; without LIST, all lists.

    JSON: list and codes (code, zh, en, valid_from, valid_to, parent, note); without LIST, their names.
    """
    _, catalogue = _catalogue(root, version)
    if name is None:
        if out.as_json:
            out.json(list(catalogue.list_names))
            return
        for known in catalogue.list_names:
            say(f"{known:28} {len(catalogue.code_list(known).codes)}")
        return
    if name not in catalogue.list_names:
        near = difflib.get_close_matches(name, catalogue.list_names, n=3)
        raise click.UsageError(
            out.pick(f"没有代码表 {name}", f"there is no list {name}")
            + (f" ({', '.join(near)}?)" if near else "")
        )
    wanted = text.casefold()
    rows = [
        code
        for group in catalogue.code_list(name).codes.values()
        for code in group
        if any(wanted in part.casefold() for part in (code.code, code.zh, code.en))
    ]
    if out.as_json:
        out.json({"list": name, "codes": [asdict(row) for row in rows]})
        return
    for row in rows:
        days = f"{row.valid_from or ''} – {row.valid_to or ''}".strip(" –")
        more = "; ".join(part for part in (days, row.note) if part)
        say(f"{row.code:12} {out.pick(row.zh, row.en)}" + (f"  ({more})" if more else ""))


@standard.command()
@click.argument("message_type", metavar="TYPE")
@_ROOT
@_VERSION
@click.pass_obj
def show(out: Output, message_type: str, root: Path | None, version: str | None) -> None:
    """Show one message type: purpose, parties, documents, fields, rules."""
    _, catalogue = _catalogue(root, version)
    try:
        step = catalogue.step(message_type)
    except CatalogueError as error:
        raise _usage(out, error) from None
    if out.as_json:
        out.json(step_data(catalogue, step))
        return
    say(f"{step.message_type}  {out.pick(step.zh, step.en)}")
    say(f"  {out.pick(step.purpose_zh, step.purpose_en)}")
    say(f"  {'+'.join(step.from_roles)} → {'+'.join(step.to_roles)}")
    for copy in step.cc:
        say(f"  cc {copy.role} ({copy.mode})")
    titles = catalogue.code_list("doc-type")
    out.line("\n文书", "\nDocuments")
    pairs = [("", d) for d in step.documents]
    pairs += [(f"[{v.name}] ", d) for v in step.variants for d in v.documents]
    for variant, rule in pairs:
        names = " / ".join(f"{t} {titles.text(t, out.language)}" for t in rule.types)
        when = f"  ({rule.when})" if rule.when else ""
        say(f"  {variant}{rule.min}..{rule.max or '*'}  {names}{when}")
    out.line("\n字段", "\nFields")
    for field in fields_of(catalogue, message_type):
        mark = f" [{field.codes or field.check}]" if field.codes or field.check else ""
        label = f"{'  ' * field.depth}{field.name}"
        say(f"  {label:44} {field.occurs:6} {out.pick(field.zh, field.en)}{mark}")
        if field.note_zh:
            say(f"  {'':51} {out.pick(field.note_zh, field.note_en)}")
    out.line("\n业务规则", "\nRules")
    for item in catalogue.rules_of(message_type):
        basis = f"  ({item.basis})" if item.basis else ""
        say(f"  {item.id}  {item.severity.value}  {out.pick(item.zh, item.en)}{basis}")


@standard.command()
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the pages.",
)
@_ROOT
@_VERSION
@click.pass_obj
def docs(out: Output, output: Path, root: Path | None, version: str | None) -> None:
    """Write the standard as a bilingual handbook of self-contained HTML pages."""
    _, catalogue = _catalogue(root, version)
    pages = write_handbook(catalogue, output)
    out.emit(
        {"pages": [str(p) for p in pages]},
        f"已写入 {len(pages)} 页，请打开 {pages[0]}",
        f"Wrote {len(pages)} pages; open {pages[0]}",
    )


@standard.command()
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@_ROOT
@click.pass_obj
def diff(out: Output, old: str, new: str, root: Path | None) -> None:
    """Show what differs between two versions (numbers, or folders of a version)."""
    changes = compare(_named(out, old, root), _named(out, new, root))
    if out.as_json:
        out.json(
            [
                {
                    "kind": c.kind,
                    "area": c.area,
                    "name": c.name,
                    "before": c.before,
                    "after": c.after,
                }
                for c in changes
            ]
        )
    else:
        signs = {"added": "+", "removed": "-", "changed": "~"}
        for c in changes:
            detail = " → ".join(part for part in (c.before, c.after) if part)
            say(f"{signs[c.kind]} {c.area:9} {c.name}  {detail}")
        out.line(f"共 {len(changes)} 处不同", f"{len(changes)} differences")
    raise click.exceptions.Exit(1 if changes else 0)


def _named(out: Output, name: str, root: Path | None) -> Catalogue:
    folder = Path(name)
    if (folder / "standard.toml").is_file():
        return Catalogue(folder.resolve())
    try:
        return Standards.load(root).version(name)
    except CatalogueError as error:
        raise _usage(out, error) from None
